"""Lines that a command prints."""

from typing import TextIO

from mri_d3gm.errors import printable


def say(*lines: str, file: TextIO | None = None) -> None:
    """Print each line as one, on stdout or another stream: names of files in it may hold line feeds and escapes."""
    print("\n".join(map(printable, lines)), file=file, flush=True)
