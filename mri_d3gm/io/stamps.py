"""Whether files are still those that were read."""

from collections.abc import Iterable
from pathlib import Path

Stamp = tuple[str, int, int, int] | None


def stamps(paths: Iterable[str | Path]) -> tuple[Stamp, ...]:
    """(path, time of change in ns, size, inode) of files or folders, None where there is none: unequal once one is replaced."""
    return tuple(_stamp(Path(path)) for path in paths)


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return str(path), found.st_mtime_ns, found.st_size, found.st_ino
