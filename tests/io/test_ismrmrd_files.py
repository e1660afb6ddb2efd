"""ISMRMRD files and headers as converters write them, damaged ones, and EPI."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import numpy as np
import pytest
from io_files import error_of, to_image
from raw_files import Protocol, append_ismrmrd, header_of, write_ismrmrd
from raw_objects import COILS, FLAT, OBJECT, SOLID, assert_near, edited, exact, readouts_of, scan_of, set_header

from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.scan import Reading

# ---- the file and its header


def test_the_first_encoding_that_images_is_read(tmp_path: Path) -> None:
    small = Protocol(matrix=(16, 12, 1), coils=COILS, slices=(0.0, 5.0))
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, FLAT)
    append_ismrmrd(path, OBJECT, small, encoding=1)
    set_header(path, header_of(FLAT, small))
    scan = open_scan(path)
    assert scan.warnings == ("encoding 0 is reconstructed; the file holds 1 more",)
    assert scan.slices == 1
    assert_near(scan.read(0), exact(FLAT))


@pytest.mark.parametrize("element", ["trajectory", "parallelImaging", "acquisitionSystemInformation", "encodingLimits",
                                     "experimentalConditions", "sequenceParameters", "kspace_encoding_step_1",
                                     "relativeReceiverNoiseBandwidth", "calibrationMode"])  # fmt: skip
def test_headers_that_lack_what_older_ones_lack(element: str, tmp_path: Path) -> None:
    scan = scan_of(replace(FLAT, without=[element]), tmp_path)
    assert scan.mask is None and scan.warnings == ()
    assert_near(scan.read(0), exact(FLAT))


@pytest.mark.parametrize("element", ["encodedSpace", "reconSpace", "encoding", "matrixSize", "fieldOfView_mm"])
def test_headers_that_lack_what_is_needed_are_refused(element: str, tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(FLAT, without=[element]))
    assert "XML header cannot be used" in error_of(open_scan, path)


def test_readouts_without_a_centre_have_it_in_the_middle(tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, FLAT)
    with readouts_of(path) as data:
        data["head"]["center_sample"] = 0
    scan = open_scan(path)
    assert "no readout says where its centre is" in scan.warnings[0]
    assert_near(scan.read(0), exact(FLAT))


def test_one_of_several_measurements(tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, FLAT)
    write_ismrmrd(tmp_path / "b.h5", OBJECT, replace(FLAT, slices=(0.0, 6.0)))
    with h5py.File(path, "a") as file, h5py.File(tmp_path / "b.h5") as other:
        other.copy("dataset", file, "second")
    last, first = open_scan(path), open_scan(path, Reading(measurement=1))
    assert (last.slices, first.slices) == (2, 1) and "measurement 2 of 2 (second) is read" in last.warnings[0]
    assert "--measurement 3: the file holds 2" in error_of(open_scan, path, Reading(measurement=3))


def set_heads(path: Path, name: str, value: Any, chosen: slice = slice(None)) -> None:
    with readouts_of(path) as data:
        (data["head"] if name in data["head"].dtype.names else data["head"]["idx"])[name][chosen] = value


def no_samples(path: Path) -> None:
    with readouts_of(path) as data:
        data["data"][5] = np.full_like(data["data"][5], np.nan)


def no_readouts(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["dataset/data"].resize((0,))


def images(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["dataset/data"]
        file["dataset/data"] = np.ones((2, 3, 8, 8), np.float32)


def linked(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file.move("dataset/data", "elsewhere")
        file["dataset/data"] = h5py.SoftLink("/elsewhere")


def many_frames(path: Path) -> None:
    for name in ("repetition", "phase", "contrast", "set"):
        set_heads(path, name, np.arange(20))


BROKEN: dict[str, Callable[[Path], None]] = {
    "data is empty": no_readouts,
    "holds no acquisitions": images,
    "not readable XML": partial(set_header, header=b"<ismrmrdHeader><encoding>"),
    "a link to another place": linked,
    "its centre is none of them": partial(set_heads, name="center_sample", value=24, chosen=slice(3, 4)),
    "a readout has no samples": partial(set_heads, name="discard_pre", value=24, chosen=slice(3, 4)),
    "other than the 20 samples": partial(set_heads, name="number_of_samples", value=20, chosen=slice(3, 4)),
    "2 and 3 coils": partial(set_heads, name="active_channels", value=2, chosen=slice(3, 7)),
    "holds NaN": no_samples,
    "no imaging readouts, only noise": partial(set_heads, name="flags", value=1 << ismrmrd.ACQ_IS_NOISE_MEASUREMENT - 1),
    "more images than it has readouts": many_frames,
}


@pytest.mark.parametrize("text", BROKEN)
def test_what_cannot_be_used_is_one_line(text: str, tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, FLAT)
    BROKEN[text](path)
    assert text in error_of(lambda name: open_scan(name).read(0), path)


@pytest.mark.parametrize("stored", [{}, {"chunks": (7,)}, {"chunks": (7,), "compression": "gzip"}])
def test_acquisitions_are_read_however_they_are_stored(stored: dict[str, Any], tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(FLAT, slices=(0.0, 6.0)))
    with h5py.File(path, "a") as file:
        data = file["dataset/data"][:]
        kind = file["dataset/data"].dtype
        del file["dataset/data"]
        file.create_dataset("dataset/data", data=data, dtype=kind, **stored)
    scan = open_scan(path)
    assert_near(scan.read(0), exact(FLAT))


REFUSED: dict[str, Protocol] = {
    "trajectory is radial": replace(FLAT, trajectory="radial"),
    "trajectory is spiral": replace(FLAT, trajectory="spiral"),
    "3-D scan of 2 slabs": replace(SOLID, slices=(0.0, 48.0)),
    "at least 8 x 8": replace(FLAT, matrix=(24, 6, 1)),
    "partitions 0 to 11 around": replace(SOLID, limits=(0, 15, 8)),
}


@pytest.mark.parametrize("text", REFUSED)
def test_scans_that_cannot_be_reconstructed(text: str, tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, REFUSED[text])
    if text.startswith("partitions"):
        edited(path, b"<z>12</z>", b"<z>1</z>")
    assert text in error_of(open_scan, path)


@pytest.mark.parametrize(("old", "new"), [(b"<x>24</x>", b"<x>60000</x>"), (b"<y>20</y>", b"<y>60000</y>"),
                                          (b"<x>24</x>", b"<x>600000</x>"), (b"<y>20</y>", b"<y>0</y>")])  # fmt: skip
def test_declared_sizes_are_checked_before_arrays_are_made(old: bytes, new: bytes, tmp_path: Path) -> None:
    error_of(open_scan, edited(write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(FLAT, without=["encodingLimits"])), old, new))


@pytest.mark.parametrize("degrees", [0.3, 4.0, 90.0])
def test_slices_that_are_not_parallel_are_refused(degrees: float, tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, FLAT)
    across, along = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    turned = np.array([[along, across, 0], [-across, along, 0], [0, 0, 1]])
    append_ismrmrd(path, OBJECT, replace(FLAT, numbers=(1,), slices=(6.0,), orientation=turned))
    assert f"slices are turned by up to {degrees} degrees" in error_of(open_scan, path)


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_truncated_files_are_refused(part: float, tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, FLAT)
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    assert "truncated" in error_of(open_scan, path)


# ---- EPI


EPI = replace(FLAT, trajectory="epi", alternating=True, ghost=(0.37, 0.4), slices=(0.0, 6.0), counts={"repetition": 2})


@pytest.mark.parametrize("oversampling", [1, 2])
def test_the_ghost_of_epi_is_taken_out_with_navigators(oversampling: int, tmp_path: Path) -> None:
    made = replace(EPI, oversampling=oversampling, navigators=True, ghost=(0.37 * oversampling, 0.4))
    scan = scan_of(made, tmp_path)
    images, wanted = to_image(scan.read(0)), to_image(exact(FLAT))
    assert_near(np.linalg.norm(images, axis=0), np.linalg.norm(wanted, axis=0), 0.03)
    second = to_image(scan.read(3))
    assert_near(np.linalg.norm(second, axis=0), 2 * np.linalg.norm(to_image(exact(FLAT, (0, 0, 6))), axis=0), 0.03)


@pytest.mark.parametrize(("ramps", "refused"), [((50, 200, 60), False), ((50, 200, 20), True), ((50, 100, 60), True)])
def test_epi_on_the_ramps_of_its_gradient_is_refused(ramps: tuple[int, int, int], refused: bool, tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(EPI, navigators=True, ramps=ramps))
    if refused:
        assert "on the ramps" in error_of(open_scan, path)
    else:
        assert open_scan(path).frames == 2


def test_epi_whose_navigators_go_one_way_is_refused(tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(EPI, navigators=True))
    with readouts_of(path) as data:
        of_navigators = (data["head"]["flags"] & (1 << ismrmrd.ACQ_IS_PHASECORR_DATA - 1)) > 0
        data["head"]["flags"][of_navigators] = 1 << ismrmrd.ACQ_IS_PHASECORR_DATA - 1
    assert "no navigators to correct their ghost" in error_of(open_scan, path)


def test_echoes_read_one_way_each_need_no_navigators(tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(FLAT, counts={"contrast": 2}))
    with readouts_of(path) as data:
        back = data["head"]["idx"]["contrast"] == 1
        data["head"]["flags"][back] |= 1 << ismrmrd.ACQ_IS_REVERSE - 1
        for index in np.flatnonzero(back):
            data["data"][index] = data["data"][index].reshape(3, -1, 2)[:, ::-1].ravel()
    scan = open_scan(path)
    assert scan.frames == 2 and scan.frame_axis == "contrast"
    assert_near(scan.read(1), 2 * exact(FLAT))


def test_epi_without_navigators_is_refused(tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, EPI)
    assert "no navigators to correct their ghost" in error_of(open_scan, path)
