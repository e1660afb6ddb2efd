"""Hook of mkdocs: a line `<!-- modules: io -->` of a page becomes one entry for each module of mri_d3gm/io."""

import re
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent.parent / "mri_d3gm"


def modules(folder: str) -> str:
    """Identifiers for mkdocstrings: the package itself, then its modules."""
    names = sorted(path.stem for path in (PACKAGE / folder).glob("*.py") if path.stem != "__init__")
    return "\n\n".join(f"::: mri_d3gm.{folder}{name}" for name in ("", *(f".{name}" for name in names)))


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for every page."""
    return re.sub("^<!-- modules: (\\w+) -->$", lambda found: modules(found[1]), markdown, flags=re.MULTILINE)
