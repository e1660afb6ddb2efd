"""Writer of NIfTI images: one function sets sform, qform, pixdim and units."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mri_d3gm.io.atomic import atomic_path
from mri_d3gm.io.image import Image

if TYPE_CHECKING:
    from nibabel import Nifti1Image

SHEARED = 1e-3  # of a voxel's edge, by which sform and qform may differ
# World direction (RAS) of increasing column, row and slice index, for each plane. Rows of fastMRI files run towards
# anterior or superior; the direction of columns is not recoverable and set as radiologists look at images.
DIRECTIONS = {
    "AX": ((-1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "COR": ((-1, 0, 0), (0, 0, 1), (0, 1, 0)),
    "SAG": ((0, -1, 0), (0, 0, 1), (1, 0, 0)),
}


def plane(acquisition: str) -> str:
    """AX, COR or SAG: the first word of the attribute `acquisition` that begins so; AX where none does."""
    found = re.search("(?<![A-Z])(AX|COR|SAG)", acquisition.upper())
    return found[1] if found else "AX"


def affine_of(shape: tuple[int, ...], voxel_mm: tuple[float, float, float], acquisition: str) -> np.ndarray:
    """4 x 4 affine from (column, row, slice) index to mm (RAS); shape (slices, rows, cols), volume centred at 0.

    voxel_mm: (row, column, slice spacing).
    """
    spacing = (voxel_mm[1], voxel_mm[0], voxel_mm[2])
    directions = np.array(DIRECTIONS[plane(acquisition)], float).T * spacing
    affine = np.eye(4)
    affine[:3, :3] = directions
    affine[:3, 3] = -directions @ ((np.array(shape[::-1]) - 1) / 2)
    return affine


def write_nifti_image(path: str | Path, image: Image, code: int, description: str) -> None:
    """Write array, affine and time step as float32 NIfTI.

    code: of sform and qform, 1 for the scanner's coordinates, 2 for others. description: ASCII, cut at 79 characters.
    Written whole or not at all; equal input gives equal bytes. InputError where it cannot be written.
    """
    import nibabel

    made = nibabel.Nifti1Image(image.array.astype(np.float32, copy=False), image.affine)
    set_grid(made, image.affine, code, image.time_step)
    made.header["descrip"] = description.encode("ascii", "replace")[:79]
    with atomic_path(path) as temporary:
        nibabel.save(made, temporary)


def set_grid(image: "Nifti1Image", affine: np.ndarray, code: int, time_step: float | None) -> None:
    """Set sform, qform, pixdim and units; affine: mm RAS; time_step: s, or None for 0 of an unknown unit.

    A shear stays in the sform alone: the qform holds none and has code 0 then, so that nothing takes it for the grid.
    """
    image.set_sform(affine, code)
    image.set_qform(affine, code)  # and pixdim[1:4]
    if np.abs(image.get_qform() - affine)[:3, :3].max() > SHEARED * np.abs(affine[:3, :3]).max():
        image.set_qform(None, 0)
    image.header.set_xyzt_units("mm", "unknown" if time_step is None else "sec")
    if len(image.shape) > 3:
        image.header["pixdim"][4] = time_step or 0
