"""Write the option tables of the docs' pages anew from the settings."""

import argparse
from pathlib import Path

from mri_d3gm.settings import TASKS, table

DOCS = Path(__file__).parents[1] / "docs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("docs", nargs="?", type=Path, default=DOCS, help="folder of the pages")
    docs = parser.parse_args().docs
    for task in TASKS.values():
        page = docs / f"{task.bundle}.md"
        before, start, rest = page.read_text().partition("<!-- options -->\n")
        _, end, after = rest.partition("\n<!-- /options -->")
        page.write_text(before + start + table(task) + end + after)


if __name__ == "__main__":
    main()
