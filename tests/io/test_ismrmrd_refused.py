"""ISMRMRD files that look Cartesian and whole and are not: refused, or said."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import numpy as np
import pytest
from raw_files import full, header_of, write_ismrmrd
from raw_objects import FLAT, OBJECT, edited, readouts_of, scan_of, set_header

from mri_d3gm.errors import InputError
from mri_d3gm.io.open_scan import open_scan

# ---- readouts longer than the matrix


@pytest.mark.parametrize("samples", [25, 32, 48])
def test_readouts_longer_than_the_matrix_are_refused(samples: int, tmp_path: Path) -> None:
    """As where the encoded space was copied from the reconstructed one: the image would be scaled, and said to be right."""
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(FLAT, matrix=(samples, 20, 1)))
    set_header(path, header_of(FLAT))
    with pytest.raises(InputError, match=f"readouts have {samples} samples and the header's encoded matrix 24"):
        open_scan(path)


def test_calibration_lines_longer_than_the_matrix_are_left_out(tmp_path: Path) -> None:
    made = replace(FLAT, entries=full(range(-10, 10, 2)), calibration=full(range(-4, 4)), embedded=False)
    scan = scan_of(replace(made, calibration_echo=(24, 24)), tmp_path)
    assert scan.calibration is None and "calibration lines beyond the encoded matrix are not used" in scan.warnings


# ---- trajectories


def with_places(folder: Path, place_of: Callable[[int, np.ndarray], np.ndarray], header: str = "cartesian") -> Path:
    """A file whose readouts bring the places in k-space that a function gives for a line and samples from the centre."""
    path = write_ismrmrd(folder / "a.h5", OBJECT, replace(FLAT, without=("trajectory",) if header == "none" else ()))
    with ismrmrd.File(str(path), "a") as file:
        every = [file["dataset"].acquisitions[number] for number in range(20)]
    made = []
    for one in every:
        places = np.asarray(place_of(one.idx.kspace_encode_step_1 - 10, np.arange(-12, 12.0)), np.float32)
        made.append(ismrmrd.Acquisition(one.getHead()))
        made[-1].resize(24, 3, places.shape[1])
        made[-1].data[:], made[-1].traj[:] = one.data, places
    with h5py.File(path, "a") as file:
        del file["dataset/data"]
    with ismrmrd.File(str(path), "a") as file:
        file["dataset"].acquisitions = made
    return path


def radial(line: int, samples: np.ndarray) -> np.ndarray:
    angle = np.pi * line / 20
    return np.stack([samples * np.cos(angle), samples * np.sin(angle)], 1)


def spiral(line: int, samples: np.ndarray) -> np.ndarray:
    turn = np.exp(1j * (samples + line)) * (samples + 12)
    return np.stack([turn.real, turn.imag], 1)


NOT_EVEN = {
    "radial": radial,
    "spiral": spiral,
    "ramps": lambda line, samples: np.stack([12 * np.sin(samples / 8), 0 * samples + line], 1),
    "stack of stars": lambda line, samples: np.column_stack([radial(line, samples), 0 * samples + line]),
}
EVEN = {
    "lines": lambda line, samples: np.stack([samples, 0 * samples + line], 1),
    "both ways": lambda line, samples: np.stack([samples * (-1) ** line, 0 * samples + line], 1),
    "tilted": lambda line, samples: np.stack([0.6 * samples - 0.8 * line, 0.8 * samples + 0.6 * line, 0 * samples], 1),
    "zeros": lambda line, samples: np.zeros((24, 2)),
    "weights": lambda line, samples: np.stack([samples, 0 * samples + line, np.random.default_rng(20 + line).random(24)], 1),
    "small places": lambda line, samples: np.stack([samples / 500, 0 * samples, abs(samples) % 7], 1),
    "more axes and fewer": lambda line, samples: np.stack([samples, *[0 * samples + line] * (1 + line % 2)], 1),
}


@pytest.mark.parametrize("header", ["cartesian", "none"])
@pytest.mark.parametrize("kind", NOT_EVEN)
def test_trajectories_that_are_not_cartesian_are_refused(kind: str, header: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="trajectories that are not Cartesian"):
        open_scan(with_places(tmp_path, NOT_EVEN[kind], header))


@pytest.mark.parametrize("kind", EVEN)
def test_cartesian_trajectories_change_nothing(kind: str, tmp_path: Path) -> None:
    found, wanted = open_scan(with_places(tmp_path, EVEN[kind])), scan_of(FLAT, tmp_path)
    assert np.array_equal(found.read(0), wanted.read(0)) and found.warnings == wanted.warnings


@pytest.mark.parametrize("discard", [(4, 4), (3, 0), (0, 5)])
def test_ramps_in_samples_that_are_discarded_say_nothing(discard: tuple[int, int], tmp_path: Path) -> None:
    def place_of(line: int, samples: np.ndarray) -> np.ndarray:
        even = (samples >= discard[0] - 12) & (samples < 12 - discard[1])
        return np.stack([np.cumsum(np.where(even, 1, 0.5)), 0 * samples + line], 1)

    path = with_places(tmp_path, place_of)
    with pytest.raises(InputError, match="trajectories that are not Cartesian"):
        open_scan(path)
    with readouts_of(path) as data:
        data["head"]["discard_pre"], data["head"]["discard_post"] = discard
    assert open_scan(path).slices == 1


def test_a_readout_with_places_and_no_samples_is_damaged(tmp_path: Path) -> None:
    path = with_places(tmp_path, EVEN["lines"])
    with readouts_of(path) as data:
        data["head"]["number_of_samples"][0] = 0
        data["traj"][0] = np.empty(0, np.float32)
    with pytest.raises(InputError, match="a readout has no samples"):
        open_scan(path)


# ---- the header


def with_bands(folder: Path, bands: object) -> Path:
    text = f"<multiband><deltaKz>1</deltaKz><multiband_factor>{bands}</multiband_factor></multiband>".encode()
    path = write_ismrmrd(folder / "a.h5", OBJECT, replace(FLAT, slices=(0.0, 6.0)))
    return edited(path, b"</accelerationFactor>", b"</accelerationFactor>" + text)


def test_slices_that_were_excited_together_are_refused(tmp_path: Path) -> None:
    assert open_scan(with_bands(tmp_path, 1)).slices == 2
    with pytest.raises(InputError, match="2 slices were excited at once"):
        open_scan(with_bands(tmp_path, 2))


@pytest.mark.parametrize("scale", [0.001, 100.0])
def test_a_field_of_view_that_is_not_in_mm_is_refused(scale: float, tmp_path: Path) -> None:
    wrong: Any = tuple(edge * scale for edge in FLAT.voxel)
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, FLAT)
    set_header(path, header_of(replace(FLAT, voxel=wrong)))
    with pytest.raises(InputError, match=r"voxels of .* mm; is its field of view in mm\?"):
        open_scan(path)


# ---- scans that were broken off


def counted(path: Path, slices: int) -> Path:
    limits = f"<slice><minimum>0</minimum><maximum>{slices - 1}</maximum><center>0</center></slice></encodingLimits>"
    return edited(path, b"</encodingLimits>", limits.encode())


def test_slices_and_centres_that_a_broken_off_scan_lacks_are_said(tmp_path: Path) -> None:
    made = replace(FLAT, slices=(0.0, 6.0, 12.0))
    assert open_scan(counted(write_ismrmrd(tmp_path / "a.h5", OBJECT, made), 3)).warnings == ()
    path = counted(write_ismrmrd(tmp_path / "a.h5", OBJECT, made), 4)
    with h5py.File(path, "a") as file:
        file["dataset/data"].resize((46,))
    said = " ".join(open_scan(path).warnings)
    assert "has 4 slices, and the file holds readouts of 3" in said
    assert "1 of 3 images lack the centre of k-space (slice 2)" in said


@pytest.mark.parametrize(("first", "missed"), [(-10, False), (-1, False), (0, False), (1, False), (2, True), (6, True)])
def test_lines_next_to_the_centre_are_enough(first: int, missed: bool, tmp_path: Path) -> None:
    scan = scan_of(replace(FLAT, entries=full(range(first, 10))), tmp_path)
    assert any("lacks the centre of k-space" in word for word in scan.warnings) == missed


@pytest.mark.parametrize("few", [0, 1, 2])
def test_every_repetition_with_few_lines_is_named(few: int, tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(FLAT, counts={"repetition": 3}))
    with readouts_of(path) as data:
        index = data["head"]["idx"]
        lost = (index["repetition"] == few) & (abs(index["kspace_encode_step_1"].astype(int) - 10) > 2)
        data["head"]["flags"][lost] = 1 << ismrmrd.ACQ_IS_DUMMYSCAN_DATA - 1
    scan = open_scan(path)
    left = " and is left out" if few == 2 else ""
    assert f"repetition {few + 1} has 5 of 20 lines{left}" in scan.warnings and scan.frames == (2 if few == 2 else 3)


def test_a_first_repetition_of_more_lines_leaves_the_others_in(tmp_path: Path) -> None:
    entries = [full(range(-10, 10)), full(range(-10, 10, 4)), full(range(-10, 10, 4))]
    scan = scan_of(replace(FLAT, entries=entries, counts={"repetition": 3}), tmp_path)
    assert scan.frames == 3 and not any("left out" in word for word in scan.warnings)


@pytest.mark.parametrize("begin", [0.0, 40000.0, 86398.0])
def test_the_time_step_counts_through_midnight(begin: float, tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(FLAT, counts={"repetition": 4}, vendor="SIEMENS"))
    with readouts_of(path) as data:
        index = data["head"]["idx"]
        seconds = begin + 1.5 * index["repetition"] + 0.05 * index["kspace_encode_step_1"]
        data["head"]["acquisition_time_stamp"] = (seconds / 0.0025 + 1).astype(np.int64) % int(86400 / 0.0025)
    assert open_scan(path).time_step == pytest.approx(1.5)
