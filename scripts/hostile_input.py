"""Damaged files of every format, each opened in a child process with limits: what became of them, as Markdown, a line a format.

Usage: python scripts/hostile_input.py [--count 20000] [--format NAME [--seed SEED]]

From a checkout, as it makes its files by tests/hostile. Every failure is printed with its format and seed as it is found; with
these two it is repeated alone.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from hostile.attack import GOOD, attack  # noqa: E402
from hostile.formats import FORMATS  # noqa: E402
from hostile.opener import OUTCOMES, opener  # noqa: E402

from mri_d3gm.metrics.table import to_markdown  # noqa: E402


def main() -> None:
    """Failures as they are found, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--format", choices=FORMATS)
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    names = [arguments.format] if arguments.format else list(FORMATS)
    seeds = range(-(-arguments.count // len(names))) if arguments.seed is None else range(arguments.seed, arguments.seed + 1)
    rows = []
    with opener() as ask:
        for name in names:
            counts: Counter[str] = Counter()
            seconds, memory = 0.0, 0
            for trial in attack(ask, name, seeds):
                answer = trial.answer
                counts[answer.outcome] += 1
                seconds, memory = max(seconds, answer.seconds), max(memory, answer.memory)
                if answer.outcome not in GOOD or arguments.seed is not None:
                    print(trial, flush=True)
            counted = {outcome: counts[outcome] for outcome in OUTCOMES}
            rows.append({"format": name, **counted, "longest (s)": round(seconds, 2), "most memory (MiB)": memory >> 20})
            print(rows[-1], file=sys.stderr, flush=True)
    print(to_markdown(rows))


if __name__ == "__main__":
    main()
