"""The README's Python, run as it stands there."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scans import fft2c, phantom

import mri_d3gm
from mri_d3gm.io.open_scan import open_scan

BLOCKS = re.findall("```python\n(.*?)```", (Path(__file__).parent.parent / "README.md").read_text(), re.DOTALL)


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A folder, and the names that the README takes for granted."""
    monkeypatch.chdir(tmp_path)
    kspace = np.stack([fft2c(phantom()), 1j * fft2c(phantom())], 1)
    mask = (np.arange(40) % 3 == 0) | (abs(np.arange(40) - 20) < 6)
    return {"kspace": kspace * mask, "mask": mask}


def test_in_memory_and_from_numpy(space: dict[str, Any]) -> None:
    memory, numpy = BLOCKS
    given = dict(space)
    exec(memory, space)
    assert space["result"].volume.shape == space["result"].std.shape == (2, 48, 40)
    exec(numpy, dict(given))
    scan = open_scan("scan.npz")
    assert np.array_equal(scan.mask, given["mask"][None])
    assert np.array_equal(scan.read(1), given["kspace"][1])
    assert np.array_equal(mri_d3gm.reconstruct("scan.npz").volume, space["result"].volume)


def test_the_demo_and_the_tests_are_the_first_two_commands() -> None:
    text = (Path(__file__).parent.parent / "README.md").read_text()
    assert re.findall("```\n(.*?)```", text, re.DOTALL)[0] == "make demo\nmake test\n"
    assert text.index("CPU build") < text.index("make demo")
