"""Defects of what a command says and takes that a user met."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mended import LINES, TINY, attempt, command, scan, table, voxels
from PIL import Image
from scans import fft2c, four_coils, phantom, write_scan

import mri_d3gm
from mri_d3gm.errors import InputError
from mri_d3gm.methods import METHODS
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.weights import save_weights
from mri_d3gm.samplers import SOLVERS
from mri_d3gm.settings import TASKS

# Python


@pytest.mark.parametrize("wrong", [{"accel": "4"}, {"output": "folder"}, {"slices": 1.5}, {"seed": "x"}, {"crop": "no"}])
def test_a_wrong_argument_is_an_input_error(wrong: dict[str, Any], tmp_path: Path) -> None:
    caught = attempt(lambda: mri_d3gm.reconstruct(scan(tmp_path / "a.h5"), **(LINES | wrong)))
    assert isinstance(caught, InputError) and "\n" not in str(caught)


def test_the_number_of_a_slice_is_an_argument(tmp_path: Path) -> None:
    assert attempt(lambda: mri_d3gm.reconstruct(scan(tmp_path / "a.h5"), slices=1, **LINES).volume.shape) == (1, 48, 40)


def test_quality_is_a_keyword(tmp_path: Path) -> None:
    path = scan(tmp_path / "a.h5")
    assert attempt(lambda: mri_d3gm.reconstruct(path, quality="fast", accel=4).record["Draws"]) == 1


# the command line


@pytest.mark.parametrize("count", [1, 2])
def test_names_with_line_feeds_and_escapes_are_printed_in_one_line(count: int, mri: Any, tmp_path: Path) -> None:
    paths = [scan(tmp_path / f"a\n\x1b[31m{number}.h5") for number in range(count)]
    bad = tmp_path / "b\n\x1b[2J.h5"
    bad.write_bytes(b"no scan")
    inputs = [*paths, *([bad] if count > 1 else [])]
    options = ["--method", "zero-filled", "--accel", 4, "--slices", 0]
    for _ in range(2):  # the second time they are done already
        _, out, err = mri("recon", *inputs, "-o", tmp_path / "out\n\x1b[0m", *options)
        lines = [*out.splitlines(), *err.splitlines()]
        assert (
            lines
            and "\x1b" not in out + err
            and all(line.startswith((str(tmp_path), "mri-d3gm: ")) or "of 3" in line for line in lines)
        )
    code, out, _ = mri("info", *paths)
    assert code == 0 and "\x1b" not in out
    assert [line for line in out.splitlines() if not line.startswith("  ")] == [ascii(str(path))[1:-1] for path in paths]


COMMON = {"--output", "--method", "--solver", "--steps", "--samples", "--tau", "--seed", "--device", "--weights", "--overwrite"}
RECON = {"--accel", "--mask", "--axis", "--center-fraction", "--coil-maps", "--quality", "--trust", "--slices", "--json"}
SR = {"--scale", "--operator", "--series", "--slice-axis", "--slices", "--json"}
RESTORE = {"--task", "--tile", "--json"}


def words(*arguments: Any, columns: int) -> list[str]:
    code, text, error = command(*arguments, columns=columns)
    assert code == 0 and max(map(len, text.splitlines())) <= columns, error
    return [word.strip("[](),.;│") for word in text.split()]


@pytest.mark.parametrize(
    ("task", "options", "columns"), [("recon", RECON, 80), ("recon", RECON, 40), ("sr", SR, 40), ("restore", RESTORE, 40)]
)
def test_help_cuts_no_option_and_no_default(task: str, options: set[str], columns: int) -> None:
    found = words(task, "--help", columns=columns)
    assert COMMON | options <= {part for word in found for part in re.split("[/,]", word)}
    assert not [word for word in found if word.endswith(("…", "..")) and not word.isupper()]
    assert "posterior" in found and (task != "recon" or "equispaced-fraction" in found)


def test_the_command_says_its_version() -> None:
    assert command("--version") == (0, f"mri-d3gm {mri_d3gm.__version__}\n", "")


@pytest.mark.parametrize("task", TASKS)
def test_solver_and_method_list_what_they_may_be(task: str) -> None:
    found = set(words(task, "--help", columns=80))
    assert found >= {*METHODS[TASKS[task]], *SOLVERS}


def test_an_option_has_one_name_in_all_commands(mri, tmp_path: Path) -> None:
    scan(tmp_path / "data" / "a.h5")
    named = ["--accel", "4", "--axis", "phase", "--method", "zero-filled"]
    code, _, error = mri("benchmark", "recon", "--data", tmp_path / "data", "-o", tmp_path / "out", *named)
    assert code == 0, error


def test_withheld_lines_that_were_not_predicted_are_said_in_words(mri, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(2, 1, 96, 96))
    path = write_scan(tmp_path / "a.h5", (noise[0] + 1j * noise[1]).astype(np.complex64))
    torn = Denoiser(options=TINY)
    for parameter in torn.parameters():
        parameter.data = parameter.data + 0.2
    save_weights(tmp_path / "w.safetensors", torn, {"steps": 1})
    options = ["--accel", 4, "--device", "cpu", "--weights", tmp_path / "w.safetensors", "-o", tmp_path / "out"]
    code, text, error = mri("recon", path, *options)
    assert code == 0, error
    assert json.loads((tmp_path / "out" / "a_recon.json").read_text())["Trust"]["WithheldError"] > 1.2
    assert "predicted" not in text and "no better than" in text


def test_std_and_error_of_a_preview_have_one_scale(mri, tmp_path: Path) -> None:
    """Of a network that knows nothing, whose draws differ little and are far from the truth."""
    save_weights(tmp_path / "w.safetensors", Denoiser(options=TINY), {"steps": 1})
    kspace = four_coils(192, 192)[:1, 0]
    options = ["--accel", 8, "--steps", 1, "--samples", 2, "--trust", "off", "--weights", tmp_path / "w.safetensors"]
    path = write_scan(tmp_path / "a.h5", kspace)
    code, _, error = mri("recon", path, "-o", tmp_path / "a.nii.gz", *options, "--device", "cpu")
    assert code == 0, error
    reference = np.abs(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace[0]), norm="ortho")))
    found, std = (voxels(tmp_path / f"a{end}.nii.gz")[..., 0].T for end in ("", "_std"))
    picture = np.asarray(Image.open(tmp_path / "a_preview.png")).astype(float)
    width, count, gap = 192, 5, 4
    assert picture.shape[1] == count * (width + gap) - gap
    grey = [picture[25:256, place * (width + gap) :][:, :width].mean() for place in range(count)]
    gains = grey[2] / std.mean(), grey[4] / abs(found - reference).mean()
    assert gains[0] == pytest.approx(gains[1], rel=0.3)


def test_captions_of_a_wide_preview_can_be_read(mri, tmp_path: Path) -> None:
    """On a screen of 1200 pixels letters are higher than six."""
    path = write_scan(tmp_path / "a.h5", fft2c(phantom(1, 32, 2048)))
    code, _, error = mri("recon", path, "-o", tmp_path / "a.nii.gz", "--accel", 4, "--method", "zero-filled")
    assert code == 0, error
    picture = np.asarray(Image.open(tmp_path / "a_preview.png"))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (picture > 60).any(1), [0]])))
    heights = edges[1::2] - edges[::2]
    label, note = heights[0], heights[-1]
    assert len(heights) == 4 and min(label, note) * 1200 / picture.shape[1] > 6


def test_a_benchmarks_table_fits_the_terminal_and_has_no_interval_of_one_file(tmp_path: Path) -> None:
    scan(tmp_path / "data" / "a.h5")
    options = ["--accels", "4", "--axes", "phase,readout", "--methods", "zero-filled,sense"]
    code, text, error = command("benchmark", "recon", "--data", tmp_path / "data", "-o", tmp_path / "out", *options)
    assert code == 0, error
    assert max(len(line) for line in text.splitlines() if str(tmp_path) not in line) <= 80
    assert not [name for name in table(tmp_path / "out")[0] if name.endswith("_95")]
