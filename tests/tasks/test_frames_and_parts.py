"""Series of frames, masks of their own, lines for the coil maps alone, parts, and the phase."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pytest
from bundles import open_bundle
from scans import four_coils

from mri_d3gm.errors import InputError
from mri_d3gm.io.open_scan import SCAN_READERS, ScanReader, scan_of_array
from mri_d3gm.io.scan import Reading, Scan
from mri_d3gm.settings import Recon
from mri_d3gm.shipped import shipped
from mri_d3gm.tasks.recon import names_of, reconstruct, reconstruct_file

CENTRE = abs(np.arange(64) - 32) < 5
MASKS = np.stack([(np.arange(64) % 4 == offset) | CENTRE for offset in (0, 2)])  # of each of two frames
FAST = {"device": "cpu", "quality": "fast"}


def alone(frame: int) -> Scan:
    """One frame of two slices, as a scan."""
    return scan_of_array((1 + frame) * four_coils() * MASKS[frame], MASKS[frame])


def series() -> Scan:
    """Both frames as one scan, 2.5 s apart."""
    scans = [alone(frame) for frame in (0, 1)]
    return replace(
        scans[0],
        mask=MASKS.any(0)[None],
        frames=2,
        frame_axis="repetition",
        time_step=2.5,
        read=lambda image: scans[image // 2].read(image % 2),
        masks=lambda image: MASKS[image // 2][None],
    )


def of_two_parts() -> Scan:
    """Two echoes of that series."""
    return replace(series(), parts={"echo-1": series(), "echo-2": series()})


def calibrated() -> Scan:
    """A regular mask without a centre, and the centre's lines apart, of twice the strength."""
    regular = (np.arange(64) % 2 == 0) | (np.arange(64) == 32)
    lines = [(2 * one * CENTRE).astype(np.complex64) for one in four_coils()]
    return replace(scan_of_array(four_coils() * regular, regular), calibration=lines.__getitem__)


def as_file(path: Path, scan: Scan, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that a reader of its own takes for the scan."""
    path.write_bytes(b"of a format that tests make")

    def read(file: Path, how: Reading) -> Scan:
        parts = {name: replace(part, name=str(file), files=(file,)) for name, part in scan.parts.items()}
        return replace(scan, name=str(file), files=(file,), parts=parts)

    monkeypatch.setitem(SCAN_READERS, "made", ScanReader(lambda file: file.suffix == ".made", read, (".made",)))
    return path


def test_frames_are_reconstructed_as_each_alone() -> None:
    both = reconstruct(series(), Recon(**FAST))
    assert both.volume.shape == (2, 2, 72, 64) and both.std is not None and both.std.shape == both.volume.shape
    for frame in (0, 1):
        one = reconstruct(alone(frame), Recon(slices="0", **FAST)).volume
        assert np.array_equal(both.volume[frame, 0], one[0]) if frame == 0 else np.allclose(both.volume[1, 0], one[0], atol=0.1)
        chosen = reconstruct(series(), Recon(frames=str(frame), slices="1", **FAST))
        assert np.array_equal(chosen.volume, both.volume[frame : frame + 1, 1:])
        assert chosen.record["Frames"] == 1 and chosen.record["Slices"] == 1
    with pytest.raises(InputError, match="--frames 2 leaves none of its 2 frames"):
        reconstruct(series(), Recon(frames="2", **FAST))


def test_a_series_and_its_phase_are_written_with_the_time_step(tmp_path, monkeypatch) -> None:
    path = as_file(tmp_path / "a.made", series(), monkeypatch)
    names = names_of(path, tmp_path / "out")
    reconstruct_file(path, Recon(complex=True, **FAST), names)
    for name in (names.result, names.std, names.phase):
        image = nibabel.load(name)
        assert image.shape == (64, 72, 2, 2) and image.header["pixdim"][4] == 2.5
        assert image.header.get_xyzt_units() == ("mm", "sec")
    phase = np.asarray(nibabel.load(names.phase).dataobj)
    assert abs(phase).max() <= np.pi + 1e-6 and phase.std() > 0.1


def test_parts_are_files_of_their_own(tmp_path, monkeypatch) -> None:
    path = as_file(tmp_path / "a.made", of_two_parts(), monkeypatch)
    names = names_of(path, tmp_path / "out")
    work = partial(reconstruct_file, path, Recon(method="zero-filled"), names)
    record, before = work()
    assert not before and record["Parts"] == ["echo-1", "echo-2"]
    for part in record["Parts"]:
        assert (tmp_path / "out" / f"a_recon_{part}.nii.gz").exists()
        assert json.loads((tmp_path / "out" / f"a_recon_{part}.json").read_text())["Frames"] == 2
    assert not names.result.exists() and work()[1]


def test_calibration_lines_are_for_the_maps_and_the_bundle_reads_all_alike(tmp_path, monkeypatch) -> None:
    for number, scan in enumerate((calibrated(), series())):
        path = as_file(tmp_path / f"{number}.made", scan, monkeypatch)
        result = reconstruct(scan, Recon(**FAST))
        options = {"dataset_dir": str(path), "output": str(tmp_path), **FAST}
        open_bundle(shipped("pipelines", "reconstruction"), "inference.json", "inference", **options).run()
        written = nibabel.load(names_of(path, tmp_path).result)
        assert np.array_equal(np.asarray(written.dataobj).T, result.volume)
        said = json.loads(names_of(path, tmp_path).sidecar.read_text())
        assert all(said[key] == result.record[key] for key in ("CoilMaps", "CoilMapSets", "CentreExplained", "PerSlice"))
    with_lines, without = (reconstruct(scan, Recon(**FAST)) for scan in (calibrated(), replace(calibrated(), calibration=None)))
    assert with_lines.record["CoilMaps"] == ["espirit"] and without.record["CoilMaps"][0].endswith("low-resolution")
