"""Files that appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mri_d3gm.errors import InputError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path`, with its ending, that becomes `path` if the block succeeds.

    InputError where the folder cannot be written or the disk is full; nothing is left behind on any exception.
    """
    target = Path(path)
    ending = "".join(target.suffixes[-2:]) if target.name.endswith(".nii.gz") else target.suffix
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(suffix=ending, prefix=".writing-", dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
        temporary = None
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
