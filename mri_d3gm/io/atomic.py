"""Files that appear whole or not at all."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mri_d3gm.errors import InputError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path`, with its ending, that becomes `path` if the block succeeds.

    InputError where the folder cannot be written or the disk is full; nothing is left behind on any exception.
    """
    target = Path(path)
    ending = ".nii.gz" if target.name.lower().endswith(".nii.gz") else target.suffix
    temporary = target.with_name(f".writing-{secrets.token_hex(6)}{ending}")
    try:
        temporary.touch(exist_ok=False)
        yield temporary
        temporary.replace(target)
    except OSError as error:
        reason = " ".join((error.strerror or str(error)).split())
        raise InputError(f"{target}: cannot be written: {reason}; choose another place") from error
    finally:
        # where the folder itself cannot be used there is no temporary file either
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
