"""Averages, frames and parts of ISMRMRD files, and their calibration lines."""

from dataclasses import replace
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest
from raw_files import TICK, full, header_of, write_ismrmrd
from raw_objects import FLAT, OBJECT, assert_near, exact, lines_of, readouts_of, scan_of, set_header

from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.runs.names import volume_names
from mri_d3gm.settings import Recon
from mri_d3gm.tasks.recon import reconstruct_file

# ---- averages, frames, parts


@pytest.mark.parametrize("averages", [1, 4])
def test_averages_are_the_mean_of_kspace(averages: int, tmp_path: Path) -> None:
    made = replace(FLAT, counts={"average": averages}, covariance=np.eye(3) * 0.0002)
    scan = scan_of(made, tmp_path)
    noise = scan.read(0) - exact(made)
    assert scan.frames == 1 and scan.mask is None
    assert noise.real.std() == pytest.approx(0.01 / averages**0.5, rel=0.05)
    told = scan_of(replace(made, noise_samples=9000), tmp_path)
    assert told.noise == pytest.approx(0.01 / averages**0.5, rel=0.05)


@pytest.mark.parametrize("name", ["repetition", "phase", "contrast", "set"])
def test_a_counter_that_counts_makes_frames(name: str, tmp_path: Path) -> None:
    made = replace(FLAT, slices=(6.0, 0.0), counts={name: 3}, vendor="SIEMENS")
    scan = scan_of(made, tmp_path)
    assert (scan.frames, scan.slices, scan.frame_axis, scan.parts) == (3, 2, name, {})
    assert scan.mask is None and scan.masks is None
    for frame in range(3):
        assert_near(scan.read(2 * frame), (frame + 1) * exact(made))
        assert_near(scan.read(2 * frame + 1), (frame + 1) * exact(made, (0, 0, 6)))
    assert scan.time_step == (pytest.approx(2 * 20 * 2 * TICK) if name == "repetition" else None)


@pytest.mark.parametrize(
    ("vendor", "known"), [("Siemens Healthineers", True), ("", True), ("GE Healthcare", False), ("PHILIPS", False)]
)
def test_time_stamps_are_ticks_of_siemens_scanners_alone(vendor: str, known: bool, tmp_path: Path) -> None:
    """Of others the unit is not known: GE's converter writes seconds, that of Philips zeros."""
    scan = scan_of(replace(FLAT, counts={"repetition": 3}, vendor=vendor), tmp_path)
    assert scan.time_step == (pytest.approx(20 * 2 * TICK) if known else None)


def test_further_counters_make_parts(tmp_path: Path) -> None:
    scan = scan_of(replace(FLAT, counts={"repetition": 2, "phase": 2, "contrast": 3, "set": 2}), tmp_path)
    assert scan.frames == 2 and scan.frame_axis == "repetition"
    assert list(scan.parts) == [
        f"echo-{echo}_rec-phase{phase}set{one}" for phase in (1, 2) for echo in (1, 2, 3) for one in (1, 2)
    ]
    for name, part in scan.parts.items():
        echo, phase, one = (int(number) for number in name if number.isdigit())
        for frame in range(2):
            assert_near(part.read(frame), echo * phase * one * (frame + 1) * exact(FLAT))
    assert list(scan_of(replace(FLAT, counts={"phase": 2, "contrast": 2}), tmp_path).parts) == ["echo-1", "echo-2"]


def test_many_parts_cost_no_more_than_as_many_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readouts are looked up once, not for each part."""
    looked: list[int] = []
    unique, searchsorted = np.unique, np.searchsorted
    monkeypatch.setattr(np, "unique", lambda array, **kwargs: looked.append(np.size(array)) or unique(array, **kwargs))
    monkeypatch.setattr(np, "searchsorted", lambda held, found: looked.append(np.size(found)) or searchsorted(held, found))
    work = []
    for counts, parts in (({"repetition": 64}, 0), ({"repetition": 4, "set": 4, "phase": 4}, 16)):
        path = write_ismrmrd(tmp_path / "a.h5", [], replace(FLAT, counts=counts, slices=(0.0, 6.0), coils=FLAT.coils[:1]))
        looked.clear()
        assert len(open_scan(path).parts) == parts
        work.append(sum(looked))
    assert work[1] < 1.5 * work[0]


def test_parts_are_written_under_their_entities(tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(FLAT, counts={"repetition": 2, "contrast": 2}))
    names = volume_names(path, tmp_path / "out", "recon")
    record, _ = reconstruct_file(path, Recon(method="zero-filled", accel=1, device="cpu"), names)
    assert record["Parts"] == ["echo-1", "echo-2"]
    assert {path.name for path in (tmp_path / "out").glob("*.nii.gz")} == {"a_recon_echo-1.nii.gz", "a_recon_echo-2.nii.gz"}


def test_a_last_frame_that_was_not_finished_is_left_out(tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(FLAT, counts={"repetition": 3}))
    with h5py.File(path, "a") as file:
        file["dataset/data"].resize((45,))
    scan = open_scan(path)
    assert scan.frames == 2 and scan.mask is None and "repetition 3 has 5 of 20 lines and is left out" in scan.warnings


SHARED = [full(range(-10, 10, 2)), full(range(-9, 10, 2))]


def test_frames_that_share_the_lines_are_undersampled(tmp_path: Path) -> None:
    made = replace(FLAT, entries=SHARED, counts={"repetition": 4, "average": 2})
    scan = scan_of(made, tmp_path)
    assert scan.masks is not None and scan.mask is not None and scan.mask.all() and scan.limits is None
    for frame in range(4):
        lines = np.arange(20) % 2 == frame % 2
        assert np.array_equal(scan.masks(frame), lines[None])
        assert_near(scan.read(frame), (frame + 1) * exact(FLAT) * lines)
    noisy = scan_of(replace(made, covariance=np.eye(3) * 2e-8, noise_samples=9000), tmp_path)
    assert noisy.noise == pytest.approx(1e-4 / 2**0.5, rel=0.05)  # of two averages


def test_each_frame_is_reconstructed_from_its_own_lines(tmp_path: Path) -> None:
    calibrated = [[*entries, *full([*range(-3, 3)])] for entries in SHARED]
    entries = [list(dict.fromkeys(one)) for one in calibrated]
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(FLAT, entries=entries, counts={"repetition": 2}))
    record, _ = reconstruct_file(path, Recon(method="sense", device="cpu"), volume_names(path, tmp_path / "out", "recon"))
    assert record["Sampling"]["FromFile"] and 1.4 < record["Sampling"]["AccelerationAchieved"] < 1.8
    assert record["Frames"] == 2 and record["EmptySlices"] == 0 and "Metrics" not in record


def test_an_image_that_is_missing_stays_empty(tmp_path: Path) -> None:
    made = replace(FLAT, slices=(0.0, 6.0), counts={"repetition": 2}, entries=full(range(-4, 10)))
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, made)
    with readouts_of(path) as data:
        of_image = (data["head"]["idx"]["slice"] == 1) & (data["head"]["idx"]["repetition"] == 0)
        data["head"]["flags"][of_image] = 1 << ismrmrd.ACQ_IS_DUMMYSCAN_DATA - 1
    scan = open_scan(path)
    assert scan.frames == 2 and scan.masks is None and scan.mask is not None and scan.mask.sum() == 14
    assert not scan.read(1).any() and scan.read(3).any()
    record, _ = reconstruct_file(path, Recon(method="zero-filled", device="cpu"), volume_names(path, tmp_path / "out", "recon"))
    assert record["EmptySlices"] == 1


# ---- calibration


SEPARATE = replace(FLAT, entries=full(range(-10, 10, 2)), calibration=full(range(-4, 4)), embedded=False)


def test_embedded_calibration_lines_are_data(tmp_path: Path) -> None:
    scan = scan_of(replace(SEPARATE, embedded=True), tmp_path)
    assert scan.calibration is None and scan.mask is not None
    assert (np.flatnonzero(scan.mask[0]) - 10).tolist() == [-10, -8, -6, *range(-4, 4), 4, 6, 8]
    assert_near(scan.read(0), exact(FLAT) * scan.mask)


@pytest.mark.parametrize("oversampling", [1, 2])
def test_separate_calibration_lines_are_for_the_maps_alone(oversampling: int, tmp_path: Path) -> None:
    made = replace(SEPARATE, oversampling=oversampling, slices=(0.0, 6.0), counts={"repetition": 2})
    scan = scan_of(made, tmp_path)
    assert scan.calibration is not None and scan.mask is not None
    assert (np.flatnonzero(scan.mask[0]) - 10).tolist() == list(range(-10, 10, 2)) == lines_of(scan).tolist()
    inside = (np.arange(20) >= 6) & (np.arange(20) < 14)
    for image, place in enumerate((0, 6, 0, 6)):
        assert_near(scan.calibration(image), exact(made, (0, 0, place)) * inside, 1e-5 if oversampling == 1 else 0.03)


@pytest.mark.parametrize("oversampling", [1, 2])
def test_short_calibration_lines_are_placed_by_their_centre(oversampling: int, tmp_path: Path) -> None:
    short = replace(SEPARATE, oversampling=oversampling, calibration_echo=(6 * oversampling, 6 * oversampling))
    scan = scan_of(short, tmp_path)
    edge = oversampling - 1
    rows = slice(6 + edge, 18 - edge)
    assert scan.calibration is not None and scan.mask is not None and scan.mask.shape == (1, 20)
    found, wanted = scan.calibration(0), exact(FLAT)
    assert np.array_equal(np.flatnonzero(found.any((0, 2))), np.arange(24)[rows])
    assert_near(found[:, rows, 6:14], wanted[:, rows, 6:14], 1e-5 if oversampling == 1 else 0.05)
    embedded = scan_of(replace(short, embedded=True), tmp_path)
    assert embedded.mask is not None and embedded.mask[:, ::2].all()
    assert np.flatnonzero(embedded.mask[:, 9]).tolist() == np.arange(24)[rows].tolist() and not embedded.mask[:, 1].any()
    assert_near(embedded.read(0)[:, :, ::2], exact(FLAT)[:, :, ::2], 1e-5 if oversampling == 1 else 0.03)


def test_calibration_lines_beyond_the_matrix_are_left_out(tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(SEPARATE, matrix=(24, 40, 1), calibration=full(range(-20, 4))))
    set_header(path, header_of(replace(SEPARATE, middles=(20, 0), limits=(10, 29, 20))))
    scan = open_scan(path)
    assert "calibration lines beyond the encoded matrix are not used" in scan.warnings and scan.calibration is not None
    assert np.flatnonzero(scan.calibration(0).any((0, 1))).tolist() == list(range(14))


def test_lines_flagged_twice_are_data(tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(FLAT, entries=full(range(-4, 4)), calibration=full(range(-4, 4))))
    with readouts_of(path) as data:
        data["head"]["flags"] |= 1 << ismrmrd.ACQ_IS_PARALLEL_CALIBRATION - 1
    set_header(path, header_of(replace(FLAT, entries=full(range(-4, 4)), embedded=False)))
    assert lines_of(open_scan(path)).tolist() == list(range(-4, 4))


def test_the_task_uses_separate_calibration_lines(tmp_path: Path) -> None:
    made = replace(SEPARATE, matrix=(32, 32, 1), entries=full(range(-16, 16, 2)), calibration=full(range(-12, 12)))
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, made)
    record, _ = reconstruct_file(path, Recon(method="sense", device="cpu"), volume_names(path, tmp_path / "out", "recon"))
    assert record["CoilMaps"] == ["espirit"] and record["Sampling"]["AccelerationAchieved"] == 2
