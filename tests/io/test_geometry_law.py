"""The law of geometry: what lies at a position in the patient lies there in the NIfTI, whatever the protocol and the format."""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import nibabel
import numpy as np
import pytest
from raw_files import Blob, Protocol, full, write_ismrmrd
from raw_twix import write_twix_of
from scipy.spatial.transform import Rotation

from mri_d3gm.io.image import Image
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.save_image import save_image
from mri_d3gm.io.scan import Scan, cropped
from mri_d3gm.runs.names import volume_names
from mri_d3gm.settings import Recon
from mri_d3gm.tasks.recon import reconstruct_file

Writer = Callable[[Path, list[Blob], Protocol], Path]
WRITERS: dict[str, Writer] = {"ISMRMRD": write_ismrmrd, "twix": write_twix_of}  # formats that carry geometry

NEAR = 0.01  # mm
RAS = np.array([-1.0, -1.0, 1.0])
LETTERS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
CODES = ["".join(code) for axes in permutations(("LR", "PA", "SI")) for code in product(*axes)]
ANGLES = [(7, 0, 0), (0, -25, 0), (0, 0, 44), (12, 33, -71), (171, -9, 60)]
CENTRE = (12.5, -31.25, 47.0)

GAPS = [-12.0, -6.0, 0.0, 6.0, 12.0]  # slices of 4 mm
FLAT = Protocol(matrix=(14, 12, 1), slices=[GAPS[i] for i in (1, 3, 0, 2, 4)], numbers=(3, 0, 4, 1, 2), centre=CENTRE)
SOLID = Protocol(matrix=(14, 12, 8), centre=CENTRE)
FIRST = range(-4, 6)  # lines of partial Fourier, of 12 or 11
VARIANTS = {
    "slices": FLAT,
    "slices, odd, oversampled": replace(FLAT, matrix=(13, 11, 1), oversampling=2),
    "slices, partial Fourier, oversampled": replace(FLAT, oversampling=2, entries=full(FIRST), middles=(4, 0)),
    "slices, odd, field of view cut, asymmetric echo": replace(FLAT, matrix=(15, 13, 1), image=(14, 10, 1), echo=(5, 8)),
    "slab": SOLID,
    "slab, odd, oversampled": replace(SOLID, matrix=(13, 11, 9), oversampling=2),
    "slab, partial Fourier": replace(SOLID, entries=full(FIRST, range(-2, 4)), middles=(4, 2)),
    "slab, odd, oversampled along all": replace(SOLID, matrix=(15, 13, 11), image=(12, 10, 7), oversampling=2),
}


def directions(code: str) -> np.ndarray:
    return np.array([LETTERS[letter] for letter in code], float)


def written(scan: Scan, folder: Path) -> nibabel.Nifti1Image:
    """The zero-filled images of a scan as the product writes them."""
    kspace = np.stack([scan.read(index) for index in range(scan.slices)]).astype(complex)
    images = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, axes=(-2, -1)), norm="ortho"), axes=(-2, -1))
    volume = cropped(np.linalg.norm(images, axis=1), scan)
    save_image(folder / "a.nii.gz", Image(volume.T, scan.affine, (), ""), 1, "")
    return nibabel.load(folder / "a.nii.gz")


def checked(image: nibabel.Nifti1Image) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (i, j, k) and affine of an image whose header is whole."""
    assert image.header.get_xyzt_units()[0] == "mm"
    (sform, one), (qform, two) = image.get_sform(coded=True), image.get_qform(coded=True)
    assert one == two == 1
    np.testing.assert_allclose(sform, qform, atol=1e-4)
    np.testing.assert_allclose(image.header.get_zooms()[:3], np.linalg.norm(sform[:3, :3], axis=0), rtol=1e-5)
    return np.asanyarray(image.dataobj), sform


def centre_of_mass(image: nibabel.Nifti1Image) -> np.ndarray:
    """Where the energy of an image lies, mm RAS."""
    voxels, affine = checked(image)
    places = np.stack(np.meshgrid(*map(np.arange, voxels.shape), indexing="ij"), -1)
    index = (places * voxels[..., None] ** 2).sum((0, 1, 2)) / (voxels**2).sum()
    return affine[:3, :3] @ index + affine[:3, 3]


def brightest(image: nibabel.Nifti1Image) -> np.ndarray:
    """Where the brightest voxel lies, mm RAS."""
    voxels, affine = checked(image)
    return affine[:3, :3] @ np.unravel_index(voxels.argmax(), voxels.shape) + affine[:3, 3]


def at(made: Protocol, read: float, phase: float, normal: float) -> tuple[float, float, float]:
    """A position in mm (LPS) from places along the axes of a protocol, in mm from its centre."""
    return tuple(np.array(made.centre) + np.array([read, phase, normal]) @ made.orientation)


def check_point(write: Writer, made: Protocol, folder: Path) -> None:
    """A point on a voxel's centre fills that voxel."""
    third = -6.0 if made.matrix[2] == 1 else -made.voxel[2]
    position = at(made, 3 * made.voxel[0], -2 * made.voxel[1], third)
    image = written(open_scan(write(folder / "a.h5", [Blob(position)], made)), folder)
    np.testing.assert_allclose(brightest(image), position * RAS, atol=NEAR)
    if made.entries is None and made.echo is None:
        assert np.sort(np.asanyarray(image.dataobj), axis=None)[-2:] == pytest.approx([0, 1], abs=1e-4)


def check_blob(write: Writer, made: Protocol, folder: Path) -> None:
    """The centre of a blob between voxels is where the blob is."""
    position = at(made, 1.7, -0.6, 0.9)
    image = written(open_scan(write(folder / "a.h5", [Blob(position, 7.0)], made)), folder)
    np.testing.assert_allclose(centre_of_mass(image), position * RAS, atol=NEAR)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("form", WRITERS)
def test_a_point_lies_where_it_is_for_every_axis_code(form: str, code: str, name: str, tmp_path: Path) -> None:
    check_point(WRITERS[form], replace(VARIANTS[name], orientation=directions(code)), tmp_path)


WIDE = [6.0 * place for place in range(-4, 5)]
ROOMY = Protocol(matrix=(24, 20, 1), slices=WIDE[1::2] + WIDE[::2], numbers=(4, 8, 2, 6, 0, 5, 1, 7, 3), centre=CENTRE)
ROOMY_SLAB = Protocol(matrix=(22, 18, 16), voxel=(3.0, 3.5, 3.5), centre=CENTRE)
BLOBS = {
    "slices, oversampled": replace(ROOMY, oversampling=2),
    "slices, odd, partial Fourier": replace(ROOMY, matrix=(23, 19, 1), entries=full(range(-4, 10)), middles=(4, 0)),
    "slab, odd, partial Fourier": replace(ROOMY_SLAB, matrix=(21, 17, 15), entries=full(range(-5, 9), range(-7, 5))),
    "slab, oversampled along all": replace(ROOMY_SLAB, matrix=(24, 20, 18), image=(22, 18, 16), oversampling=2),
}


@pytest.mark.parametrize("name", BLOBS)
@pytest.mark.parametrize("angles", ANGLES)
@pytest.mark.parametrize("form", WRITERS)
def test_an_object_between_voxels_of_an_oblique_scan(
    form: str, angles: tuple[int, int, int], name: str, tmp_path: Path
) -> None:
    turned = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    check_blob(WRITERS[form], replace(BLOBS[name], orientation=turned), tmp_path)
    check_point(WRITERS[form], replace(VARIANTS[name.split(",")[0]], orientation=turned), tmp_path)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("form", WRITERS)
def test_an_object_between_voxels_for_every_axis_code(form: str, code: str, tmp_path: Path) -> None:
    made = list(BLOBS.values())[CODES.index(code) % len(BLOBS)]
    check_blob(WRITERS[form], replace(made, orientation=directions(code)), tmp_path)


@pytest.mark.parametrize(
    ("kind", "code"), [(kind, code) for kind in ("slices", "slab") for code in ("LPS", "SLP", "AIR", "RPI")]
)
@pytest.mark.parametrize("form", WRITERS)
def test_the_file_that_recon_writes(form: str, kind: str, code: str, tmp_path: Path) -> None:
    """Through the task itself, slices chosen, oblique."""
    turned = directions(code) @ Rotation.from_euler("xyz", (9, -14, 5), degrees=True).as_matrix()
    made = replace(ROOMY if kind == "slices" else ROOMY_SLAB, orientation=turned, oversampling=2)
    position = at(made, 1.7, -0.6, 0.9)
    path = WRITERS[form](tmp_path / "a.h5", [Blob(position, 7.0)], made)
    names = volume_names(path, tmp_path, "recon")
    reconstruct_file(path, Recon(method="zero-filled", accel=1, device="cpu", slices="1:"), names)
    np.testing.assert_allclose(centre_of_mass(nibabel.load(names.result)), position * RAS, atol=NEAR)
