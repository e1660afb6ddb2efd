"""A batch on disks that fill up, turn read-only and hang, and under a clock that is set back. Needs root, Linux and faketime.

    python scripts/batch_disks.py -o FOLDER [--files 12] [--rounds 10] [--seed 0]

Results go to a file system of a few megabytes in memory: too small at first, by a random amount, then large enough. Another
turns read-only while the batch runs, a third, ext4 in a file, is frozen. After each fault `batch --status` is held against the
files; at the end the results must be those of an undisturbed run, to the bit.
"""

import argparse
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from batch_faults import contradicted, ended_batch, make_scans, results, started, status


def shell(*words: object) -> None:
    """Run a command; its failure is ours."""
    subprocess.run(list(map(str, words)), check=True, capture_output=True)


@contextmanager
def mounted(place: Path, *options: str) -> Iterator[Path]:
    """A file system at a place, in this block."""
    place.mkdir(parents=True, exist_ok=True)
    shell("mount", *options, place)
    try:
        yield place / "out"
    finally:
        shell("umount", "-l", place)


def told(name: str, out: Path, calm: Path, first: tuple[int, str], last: tuple[int, str], wrong: list[str]) -> bool:
    """Print a line about one fault; whether all was well."""
    left = [path.name for path in out.rglob(".*")]
    well = last[0] == 0 and results(out) == results(calm) and not wrong and not left
    print(f"{name}: exit code {first[0]}, {first[1][-150:]!r}; then {last[0]}, {'as undisturbed' if well else 'WRONG'}")
    print(f"    states that files contradicted: {wrong}; left over: {left}")
    return well


def full(place: Path, scans: Path, calm: Path, megabytes: float) -> bool:
    """A disk that is full after some megabytes."""
    with mounted(place, "-t", "tmpfs", "-o", f"size={int(megabytes * 1024)}k", "tmpfs") as out:
        first = ended_batch(scans, out)
        wrong = contradicted(out, status(out)) if (out / "batch.tsv").exists() else []
        shell("mount", "-o", "remount,size=100m", place)
        return told(f"full after {megabytes:.2f} MB", out, calm, first, ended_batch(scans, out), wrong)


def meanwhile(
    scans: Path, out: Path, seconds: float, happens: Callable[[], None], undone: Callable[[], None]
) -> tuple[int, str]:
    """Exit code and last line of a batch that something happens to once its first job is done; it is undone after 20 s."""
    process = started(scans, out)
    while process.poll() is None and not list(out.glob("*_job.json")):
        time.sleep(0.02)
    time.sleep(seconds)
    happens()
    try:
        _, said = process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        undone()
        _, said = process.communicate()
        said += "killed while it hung"
    else:
        undone()
    assert "Traceback" not in said, said
    return process.returncode, said.strip().splitlines()[-1]


def read_only(place: Path, scans: Path, calm: Path, seconds: float) -> bool:
    """A disk that turns read-only, as one does that is failing."""
    with mounted(place, "-t", "tmpfs", "-o", "size=100m", "tmpfs") as out:

        def turned(how: str) -> None:
            while subprocess.run(["mount", "-o", f"remount,{how},size=100m", str(place)], capture_output=True).returncode:
                time.sleep(0.001)  # a file is open for writing

        first = meanwhile(scans, out, seconds, lambda: turned("ro"), lambda: turned("rw"))
        wrong = contradicted(out, status(out))
        return told("read-only", out, calm, first, ended_batch(scans, out), wrong)


def frozen(place: Path, scans: Path, calm: Path, seconds: float) -> bool:
    """A disk whose writes hang."""
    disk = place.with_suffix(".ext4")
    shell("truncate", "-s", "100M", disk)
    shell("mkfs.ext4", "-q", "-F", disk)
    with mounted(place, "-o", "loop", str(disk)) as out:
        first = meanwhile(scans, out, seconds, lambda: shell("fsfreeze", "-f", place), lambda: shell("fsfreeze", "-u", place))
        wrong = contradicted(out, status(out))
        return told("frozen for 20 s, then killed", out, calm, first, ended_batch(scans, out), wrong)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--files", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    scans, calm, place = (given.output / name for name in ("scans", "calm", "disk"))
    make_scans(scans, given.files)
    print("undisturbed:", ended_batch(scans, calm))
    needed = sum(path.stat().st_size for path in calm.rglob("*")) / 2**20
    generator = random.Random(given.seed)
    well = [full(place, scans, calm, generator.uniform(0.05, needed)) for _ in range(given.rounds)]
    well += [read_only(place, scans, calm, generator.uniform(0, 1)) for _ in range(2)]
    well += [frozen(place, scans, calm, generator.uniform(0, 1)) for _ in range(2)]
    back = given.output / "earlier"
    half = started(scans, back)
    time.sleep(6)
    half.kill()
    half.communicate()
    well.append(
        told("clock set back by a day", back, calm, (-9, "killed"), ended_batch(scans, back, "faketime", "-f", "-1d"), [])
    )
    sys.exit(0 if all(well) else 1)


if __name__ == "__main__":
    main()
