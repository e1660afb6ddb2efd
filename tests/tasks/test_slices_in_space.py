"""Chosen slices stay where they were in space, whatever their order and step."""

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scans import fft2c, phantom, write_scan

from mri_d3gm.runs.names import Outputs
from mri_d3gm.settings import Recon, SuperResolve
from mri_d3gm.tasks import recon, sr

COUNT = 7
AFFINE = np.array([[-0.9, 0.1, 0.3, 80], [-0.1, -0.9, 0, 90], [0.2, 0, 5, -20], [0, 0, 0, 1.0]])
CHOICES = {
    "0:10:2": slice(0, 10, 2), "::-1": slice(None, None, -1), "2:4": slice(2, 4), "3": slice(3, 4), "-1": slice(6, 7),
    "6:1:-2": slice(6, 1, -2), "1::3": slice(1, None, 3),
}  # fmt: skip


def reconstructed(folder: Path, slices: str | None) -> Outputs:
    path = write_scan(folder / "a.h5", fft2c(phantom(COUNT, 32, 24)))
    names = recon.names_of(path, folder / str(slices))
    recon.reconstruct_file(path, Recon(method="zero-filled", accel=2, slices=slices), names)
    return names


def superresolved(folder: Path, slices: str | None, axis: int = 2) -> Outputs:
    array = np.moveaxis(phantom(COUNT, 16, 20), 0, axis)
    path = folder / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(array.astype(np.float32), AFFINE), path)
    names = sr.names_of(path, folder / str(slices))
    sr.superresolve_file(path, SuperResolve(method="cubic", scale=2, slices=slices, slice_axis=axis), names)
    return names


def superresolved_first(folder: Path, slices: str | None) -> Outputs:
    return superresolved(folder, slices, 0)


@pytest.mark.parametrize("slices", CHOICES)
@pytest.mark.parametrize(("run", "axis"), [(reconstructed, 2), (superresolved, 2), (superresolved_first, 0)])
def test_every_voxel_keeps_its_value_at_its_place(
    run: Callable[[Path, str | None], Outputs], axis: int, slices: str, tmp_path
) -> None:
    full, part = (nibabel.load(run(tmp_path, chosen).result) for chosen in (None, slices))
    indices = list(range(COUNT))[CHOICES[slices]]
    assert part.shape[axis] == len(indices)
    values, whole = (np.asarray(image.dataobj) for image in (part, full))
    np.testing.assert_array_equal(values, np.take(whole, indices, axis))
    for new, old in enumerate(indices):
        for corner in ((0, 0), (5, 3)):
            before, after = np.insert(corner, axis, old), np.insert(corner, axis, new)
            np.testing.assert_allclose(part.affine @ [*after, 1], full.affine @ [*before, 1], atol=1e-3)
    zooms = np.linalg.norm(part.affine[:3, :3], axis=0)
    np.testing.assert_allclose(part.header.get_zooms(), zooms, atol=1e-4)
