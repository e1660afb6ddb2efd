import json
from pathlib import Path

import numpy as np
import pytest

from mri_d3gm.errors import InputError
from mri_d3gm.io.sidecar import read_sidecar, write_sidecar


def test_round_trip_of_what_numpy_and_paths_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    record = {
        "Steps": np.int64(8),
        "Noise": {"Sigma": np.float32(0.5), "Reliable": np.bool_(True)},
        "Mask": np.array([0, 1]),
        "File": Path("x.h5"),
        "Nothing": None,
        "Voxel": (1.0, 2.0),
    }
    write_sidecar(path, record)
    assert read_sidecar(path) == {
        "Steps": 8,
        "Noise": {"Sigma": 0.5, "Reliable": True},
        "Mask": [0, 1],
        "File": "x.h5",
        "Nothing": None,
        "Voxel": [1.0, 2.0],
    }


def test_numbers_are_finite_and_keys_sorted(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_sidecar(path, {"b": float("nan"), "a": [np.float64(np.inf), np.array([1.0, -np.inf])]})
    assert list(json.loads(path.read_text(), parse_constant=pytest.fail).items()) == [("a", [None, [1.0, None]]), ("b", None)]


def test_what_json_cannot_hold_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_sidecar(path, {"a": 1})
    with pytest.raises(TypeError):
        write_sidecar(path, {"a": object()})
    assert read_sidecar(path) == {"a": 1} and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_files_that_are_no_sidecar(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a sidecar"):
        read_sidecar(path)
