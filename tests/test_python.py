"""Arrays and paths from Python: every wrong argument is an InputError of one line."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from photographs import photograph
from scans import four_coils, phantom, write_scan

import mri_d3gm
from mri_d3gm.errors import InputError
from mri_d3gm.io.images.pictures import read_picture

QUICK = {"steps": 1, "samples": 1, "device": "cpu"}
KSPACE = four_coils()
IMAGE = 300 * phantom(3, 16, 20).transpose(1, 2, 0)
PICTURE = np.random.default_rng(0).random((24, 32, 3)).astype(np.float32)
AT_NAN = np.where(np.arange(KSPACE.size).reshape(KSPACE.shape) == 7, np.nan, KSPACE)
REAL = np.abs(KSPACE)

reconstruct = partial(mri_d3gm.reconstruct, KSPACE, **QUICK)
reconstruct_it = partial(mri_d3gm.reconstruct, **QUICK)
superresolve = partial(mri_d3gm.superresolve, IMAGE, **QUICK)
superresolve_it = partial(mri_d3gm.superresolve, **QUICK)
restore = partial(mri_d3gm.restore, PICTURE, **QUICK)
restore_it = partial(mri_d3gm.restore, **QUICK)

WRONG: dict[str, Callable[[], Any]] = {
    "slices x": lambda: reconstruct(slices="x"),
    "slices 9": lambda: reconstruct(slices="9"),
    "slices of nothing": lambda: reconstruct(slices=""),
    "accel text": lambda: reconstruct(accel="4"),
    "accel one half": lambda: reconstruct(accel=0.5),
    "quality": lambda: reconstruct(quality="superb"),
    "method of another task": lambda: reconstruct(method="cubic"),
    "device": lambda: reconstruct(device="tpu"),
    "tau": lambda: reconstruct(tau=-1.0),
    "tau nan": lambda: reconstruct(tau=float("nan")),
    "unknown keyword": lambda: reconstruct(colour=1),
    "output": lambda: reconstruct(output="folder"),
    "weights missing": lambda: reconstruct(weights="/none/w.safetensors"),
    "coil maps of two coils": lambda: reconstruct(coil_maps=KSPACE[0, :2]),
    "coil maps real": lambda: reconstruct(coil_maps=REAL[0]),
    "coil maps 2-D": lambda: reconstruct(coil_maps=KSPACE[0, 0]),
    "coil maps 1-D": lambda: reconstruct(coil_maps=KSPACE[0, 0, 0]),
    "coil maps of three slices": lambda: reconstruct(coil_maps=np.concatenate([KSPACE, KSPACE[:1]])),
    "coil maps NaN": lambda: reconstruct(coil_maps=AT_NAN),
    "coil maps missing": lambda: reconstruct(coil_maps="/none/maps.h5"),
    "mask too short": lambda: reconstruct(mask=np.ones(7, bool)),
    "mask of nothing": lambda: reconstruct(mask=np.zeros(64, bool)),
    "mask 3-D": lambda: reconstruct(mask=np.ones((1, 72, 64), bool)),
    "mask text": lambda: reconstruct(mask="random"),
    "mask NaN": lambda: reconstruct(mask=np.full(64, np.nan)),
    "mask complex": lambda: reconstruct(mask=np.ones(64, complex)),
    "voxel of two": lambda: reconstruct(voxel_mm=(1.0, 1.0)),
    "voxel zero": lambda: reconstruct(voxel_mm=(1.0, 1.0, 0.0)),
    "voxel NaN": lambda: reconstruct(voxel_mm=(1.0, 1.0, np.nan)),
    "voxel text": lambda: reconstruct(voxel_mm="abc"),
    "voxel number": lambda: reconstruct(voxel_mm=1.0),
    "voxel None": lambda: reconstruct(voxel_mm=None),
    "noise text": lambda: reconstruct(noise="loud"),
    "noise negative": lambda: reconstruct(noise=-1.0),
    "noise NaN": lambda: reconstruct(noise=float("nan")),
    "noise of zeros": lambda: reconstruct(noise=np.zeros((4, 0), complex)),
    "noise scan NaN": lambda: reconstruct(noise=np.full((4, 9), np.nan + 0j)),
    "noise scan of other coils": lambda: reconstruct(noise=np.ones((3, 9), complex)),
    "part of an array": lambda: reconstruct(part=1),
    "axes of an array": lambda: reconstruct(axes="coils,rows,cols"),
    "axes bogus": lambda: reconstruct(axes="bogus"),
    "voxel of an array": lambda: reconstruct(voxel="2,2,5"),
    "key of an array": lambda: reconstruct(key="kspace"),
    "measurement of an array": lambda: reconstruct(measurement=1),
    "report": lambda: reconstruct(report=True),
    "dicom": lambda: reconstruct(dicom="classic"),
    "report of a volume": lambda: superresolve(report=True),
    "dicom of a volume": lambda: superresolve(dicom="enhanced", anonymous=True),
    "kspace real": lambda: reconstruct_it(REAL),
    "kspace 1-D": lambda: reconstruct_it(KSPACE[0, 0, 0]),
    "kspace 5-D": lambda: reconstruct_it(KSPACE[None]),
    "kspace NaN": lambda: reconstruct_it(AT_NAN),
    "kspace too large": lambda: reconstruct_it(KSPACE.astype(complex) * 1e60),
    "kspace empty": lambda: reconstruct_it(KSPACE[:0]),
    "kspace tiny": lambda: reconstruct_it(KSPACE[..., :4]),
    "kspace None": lambda: reconstruct_it(None),
    "kspace ragged": lambda: reconstruct_it([[1, 2], [3]]),
    "kspace path missing": lambda: reconstruct_it("/none/a.h5"),
    "kspace path of a folder": lambda: reconstruct_it(Path("/")),
    "image path missing": lambda: superresolve_it("/none/a.nii.gz"),
    "image complex": lambda: superresolve_it(KSPACE[0]),
    "image 1-D": lambda: superresolve_it(IMAGE[0, 0]),
    "image NaN": lambda: superresolve_it(np.where(IMAGE > 500, np.nan, IMAGE)),
    "image None": lambda: superresolve_it(None),
    "image text": lambda: superresolve_it(np.array([["a", "b"]])),
    "affine 3 x 3": lambda: superresolve(np.eye(3)),
    "affine 1-D": lambda: superresolve(np.ones(4)),
    "affine text": lambda: superresolve("abcd"),
    "affine of zeros": lambda: superresolve(np.zeros((4, 4))),
    "time step": lambda: superresolve_it(np.stack([IMAGE, IMAGE], -1), time_step="x"),
    "scale": lambda: superresolve(scale=3),
    "scale text": lambda: superresolve(scale="2"),
    "slice axis": lambda: superresolve(slice_axis=3),
    "slices of a volume": lambda: superresolve(slices="a:b"),
    "series of an array": lambda: superresolve(series="3"),
    "operator": lambda: superresolve(operator="magic"),
    "picture path missing": lambda: restore_it("/none/a.png"),
    "picture of bytes": lambda: restore_it((255 * PICTURE).astype(np.uint8)),
    "picture beyond one": lambda: restore_it(255 * PICTURE),
    "picture negative": lambda: restore_it(PICTURE - 0.5),
    "picture of two channels": lambda: restore_it(PICTURE[..., :2]),
    "picture 4-D": lambda: restore_it(PICTURE[None]),
    "picture NaN": lambda: restore_it(PICTURE * np.nan),
    "picture tiny": lambda: restore_it(PICTURE[:4, :4]),
    "picture None": lambda: restore_it(None),
    "task": lambda: restore(task="colour"),
    "tile": lambda: restore(tile=8),
    "target missing": lambda: restore(target="/none/b.png"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_is_one_line(case: str) -> None:
    with pytest.raises(InputError) as caught:
        WRONG[case]()
    assert str(caught.value) and "\n" not in str(caught.value)


def test_what_belongs_to_arrays_is_refused_for_files(tmp_path) -> None:
    path = write_scan(tmp_path / "a.h5")
    for options in ({"mask": np.ones(40, bool)}, {"noise": 0.1}, {"voxel_mm": np.array([1, 1, 2.0])}):
        with pytest.raises(InputError, match="a file holds its own"):
            reconstruct_it(path, **options)
    assert reconstruct_it(path, voxel_mm=[1, 1, 1], method="zero-filled").volume.any()


def test_one_of_several_parts_of_a_file(tmp_path) -> None:
    path = tmp_path / "echoes.npy"
    np.save(path, np.stack([KSPACE, 2 * KSPACE, 3 * KSPACE])[:, None])
    of_part = partial(reconstruct_it, path, method="zero-filled", axes="other,frames,slices,coils,rows,cols")
    first = of_part()
    assert "the file holds 3 parts, run-1, run-2, run-3: this is run-1 alone; part= chooses another" in first.record["Warnings"]
    for part in (2, "2", "run-2"):
        second = of_part(part=part)
        np.testing.assert_allclose(second.volume, 2 * first.volume, rtol=1e-4, atol=1e-5)
        assert not any("part" in text for text in second.record["Warnings"])
    for part in (0, 4, "echo-1", ""):
        with pytest.raises(InputError, match="one of run-1, run-2, run-3, or a number from 1, is needed"):
            of_part(part=part)
    with pytest.raises(InputError, match="there are no parts"):
        reconstruct_it(write_scan(tmp_path / "a.h5"), part=1)


@pytest.mark.parametrize("kind", ["plain", "conjugated", "with gradient"])
def test_tensors_are_taken_as_arrays_are(kind: str) -> None:
    def tensor(array: np.ndarray) -> torch.Tensor:
        made = torch.from_numpy(array.copy())
        if kind == "conjugated" and made.is_complex():
            return made.conj().resolve_conj().conj()
        return made.requires_grad_() if kind == "with gradient" and made.dtype != torch.bool else made

    mask = (np.arange(64) % 2 == 0) | (abs(np.arange(64) - 32) < 6)
    plain = mri_d3gm.reconstruct(KSPACE, mask, coil_maps=KSPACE[0], noise=0.02, **QUICK)
    given = [tensor(array) for array in (KSPACE, mask, KSPACE[0], np.array(0.02))]
    given = mri_d3gm.reconstruct(*given[:2], coil_maps=given[2], noise=given[3], **QUICK)
    assert np.array_equal(plain.volume, given.volume) and plain.record["Noise"] == given.record["Noise"]
    assert plain.record["Noise"]["Sigma"] == pytest.approx(0.02) and plain.record["Noise"]["Source"] == "given"
    affine = np.diag([1, 1, 4, 1.0])
    volumes = (
        mri_d3gm.superresolve(*pair, scale=2, **QUICK).volume for pair in ((IMAGE, affine), (tensor(IMAGE), tensor(affine)))
    )
    assert np.array_equal(*volumes)
    assert np.array_equal(restore(method="median").image, restore_it(tensor(PICTURE), method="median").image)


def test_quality_is_a_keyword() -> None:
    assert reconstruct(quality="fast", slices=0).record["Draws"] == 1
    best = mri_d3gm.reconstruct(KSPACE, quality="best", steps=1, slices=0, device="cpu").record
    assert best["Draws"] == 8 and best["Trust"]["Mode"] == "full"


def test_arrays_of_two_three_and_four_axes_are_the_same_slice() -> None:
    one = KSPACE[:1, :1]
    volumes = [reconstruct_it(array, accel=4).volume for array in (one, one[:, 0], one[0, 0])]
    assert all(np.array_equal(volumes[0], volume) for volume in volumes[1:])


def test_coil_maps_may_be_one_set_or_one_a_slice(tmp_path) -> None:
    import h5py

    with h5py.File(tmp_path / "maps.h5", "w") as file:
        file["coil_maps"] = KSPACE[0]
    maps = (KSPACE[0], np.stack([KSPACE[0]] * 2), str(tmp_path / "maps.h5"), tmp_path / "maps.h5")
    volumes = [reconstruct(accel=4, coil_maps=one).volume for one in maps]
    assert all(np.array_equal(volumes[0], volume) for volume in volumes[1:])


def test_a_picture_from_a_path_is_that_from_its_array(tmp_path) -> None:
    path = photograph(tmp_path / "a.png")
    one, two = (restore_it(picture, tile=192) for picture in (path, read_picture(path).array))
    assert np.array_equal(one.image, two.image) and one.image.shape == (40, 56, 3)
