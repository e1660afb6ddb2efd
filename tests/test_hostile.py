"""Inputs that nobody means to give: a sane result, or one line that names what is wrong."""

import json
import os
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import save_file
from scans import four_coils, phantom, write_scan

import mri_d3gm
from mri_d3gm.errors import InputError
from mri_d3gm.io.open_image import open_image
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.networks.weights import load_weights
from mri_d3gm.physics.masks import make_mask
from mri_d3gm.runs.names import folders, volume_names
from mri_d3gm.settings import Recon
from mri_d3gm.shipped import shipped
from mri_d3gm.tasks import recon

reconstruct = partial(mri_d3gm.reconstruct, device="cpu", quality="fast")
LINES = np.arange(64) % 4 == 0


@pytest.mark.parametrize("method", ["d3gm", "zero-filled"])
def test_a_slice_with_nothing_in_its_centre_does_not_end_the_others(method: str) -> None:
    mask = LINES | (abs(np.arange(64) - 32) < 5)
    kspace = four_coils() * mask
    kspace[1] = 0
    kspace[1, 0, 20, 0] = 5
    result = reconstruct(kspace, mask, method=method)
    assert np.isfinite(result.volume).all() and result.volume[0].any()


def test_a_scan_whose_signal_lies_where_nothing_was_measured_is_one_line() -> None:
    with pytest.raises(InputError, match=r"none of the samples that are not zero; is it inverted\?$"):
        reconstruct(four_coils() * ~LINES, LINES)


@pytest.mark.parametrize(("first", "end"), [(24, 64), (0, 40), (9, 64), (12, 52)])
def test_the_full_centre_is_that_of_kspace_wherever_the_limits_lie(first: int, end: int) -> None:
    mask = make_mask((64, 64), 4, limits=(first, end))[0]
    assert mask[31:34].all() and not mask[:first].any() and not mask[end:].any()


def test_withholding_leaves_something() -> None:
    """One measured line, off the centre: all of it would be withheld."""
    one = np.arange(64) == 3
    result = mri_d3gm.reconstruct(four_coils() * one, one, device="cpu")
    assert np.isfinite(result.volume).all() and np.isfinite(result.std).all()
    assert result.record["Trust"]["WithheldSamples"] == 0


@pytest.mark.parametrize("factor", [0.0, np.nan, np.inf])
def test_coil_maps_that_say_nothing_are_refused(factor: float) -> None:
    with np.errstate(invalid="ignore"), pytest.raises(InputError, match="NaN or Inf, or only zeros"):
        reconstruct(four_coils(), coil_maps=np.ones((4, 72, 64)) * complex(factor), accel=4)


@pytest.mark.parametrize("factor", [1e-30, 1e30, 1e100])
def test_the_unit_of_coil_maps_does_not_matter(factor: float) -> None:
    maps = np.exp(0.2j * np.arange(4))[:, None, None] * np.ones((4, 72, 64))
    plain, scaled = (reconstruct(four_coils(), coil_maps=maps * unit, accel=4).volume for unit in (1.0, factor))
    np.testing.assert_allclose(scaled, plain, atol=1e-5 * plain.max())


def test_a_mask_with_nan_is_refused_and_one_of_whole_lines_is_of_lines(tmp_path: Path) -> None:
    mask = LINES | (abs(np.arange(64) - 32) < 5)
    with pytest.raises(InputError, match="mask holds NaN"):
        open_scan(write_scan(tmp_path / "a.h5", four_coils() * mask, mask=np.where(mask, 1, np.nan)))
    plane, line = (reconstruct(four_coils() * mask, m) for m in (np.broadcast_to(mask, (72, 64)), mask))
    assert np.array_equal(plane.volume, line.volume)


def test_signed_volumes_keep_their_sign() -> None:
    signed = 300 * phantom(3, 24, 24).transpose(1, 2, 0) - 200
    for method in ("nearest", "sinc", "d3gm"):
        result = mri_d3gm.superresolve(signed, scale=2, method=method, samples=1, device="cpu").volume
        assert result.min() < -150 and result.max() > 150
    assert (mri_d3gm.superresolve(signed + 200, scale=2, method="sinc", device="cpu").volume >= 0).all()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_and_devices_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.nii")
    for path in (tmp_path / "pipe.nii", Path(os.devnull)):
        for read in (open_image, open_scan):
            with pytest.raises(InputError, match="device"):
                read(path)


def test_weights_of_another_task_and_damaged_ones_are_one_line(tmp_path: Path) -> None:
    derain = shipped("pipelines", "restoration", "models", "derain.safetensors")
    with pytest.raises(InputError, match="weights of another task"):
        reconstruct(four_coils(), accel=4, weights=str(derain))
    with safe_open(str(derain), "pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    for key, value in (("config", "{"), ("record", "[]"), ("config", json.dumps({"dynamics": "magic"}))):
        save_file(tensors, tmp_path / "w.safetensors", metadata | {key: value})
        with pytest.raises(InputError, match=r"w\.safetensors"):
            load_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize("sidecar", ['{"Input": 5}', '{"Input": null}', '{"Software": "s"}', "[" * 100_000, None])
def test_foreign_sidecars_and_unfinished_runs_are_not_taken_for_results(sidecar: str | None, tmp_path: Path) -> None:
    path = write_scan(tmp_path / "a.h5", four_coils())
    names = recon.names_of(path, tmp_path)
    names.result.write_bytes(b"")
    if sidecar is not None:
        names.sidecar.write_text(sidecar)
    with pytest.raises(InputError, match="--overwrite replaces it"):
        recon.reconstruct_file(path, Recon(accel=4), names)


def test_a_run_that_cannot_write_all_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recon, "write_preview", full)
    path = write_scan(tmp_path / "a.h5", four_coils())
    with pytest.raises(OSError, match="No space"):
        recon.reconstruct_file(path, Recon(accel=4, quality="fast", device="cpu"), recon.names_of(path, tmp_path / "out"))
    assert not list((tmp_path / "out").iterdir())


def test_headers_and_names_that_are_none(tmp_path: Path) -> None:
    path = write_scan(tmp_path / "a.h5", four_coils())
    with h5py.File(path, "a") as file:
        del file["ismrmrd_header"]
        file["ismrmrd_header"] = np.zeros(0)
    assert any("ismrmrd_header" in warning for warning in open_scan(path).warnings)
    assert volume_names(tmp_path / ".h5", tmp_path / "out", "recon").result.parent == tmp_path / "out"
    (tmp_path / "loop.h5").symlink_to(tmp_path / "loop.h5")
    assert folders([str(tmp_path / "loop.h5")], "out") == ["out"]
