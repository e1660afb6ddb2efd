from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest


@pytest.fixture
def write_h5(tmp_path: Path) -> Callable[..., Path]:
    """A file of named datasets; attrs= sets attributes."""

    def write(attrs: dict[str, Any] | None = None, **datasets: Any) -> Path:
        path = tmp_path / "scan.h5"
        with h5py.File(path, "w") as file:
            for name, data in datasets.items():
                file[name] = data
            file.attrs.update(attrs or {})
        return path

    return write
