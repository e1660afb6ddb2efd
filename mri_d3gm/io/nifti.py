"""Writer of NIfTI volumes: one function sets sform, qform, pixdim and units."""

from pathlib import Path

import numpy as np

from mri_d3gm.io.atomic import atomic_path

# World direction (RAS) of increasing column, row and slice index, for each plane. Rows of fastMRI files run towards
# anterior or superior; the direction of columns is not recoverable and set as radiologists look at images.
DIRECTIONS = {
    "AX": ((-1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "COR": ((-1, 0, 0), (0, 0, 1), (0, 1, 0)),
    "SAG": ((0, -1, 0), (0, 0, 1), (1, 0, 0)),
}


def plane(acquisition: str) -> str:
    """AX, COR or SAG from the attribute `acquisition`; axial where it does not say."""
    return next((name for name in ("COR", "SAG") if name in acquisition.upper()), "AX")


def affine_of(shape: tuple[int, int, int], voxel_mm: tuple[float, float, float], acquisition: str) -> np.ndarray:
    """4 x 4 affine from (column, row, slice) index to mm; shape (slices, rows, cols), the volume's centre at 0."""
    spacing = (voxel_mm[1], voxel_mm[0], voxel_mm[2])
    directions = np.array(DIRECTIONS[plane(acquisition)], float).T * spacing
    affine = np.eye(4)
    affine[:3, :3] = directions
    affine[:3, 3] = -directions @ ((np.array([shape[2], shape[1], shape[0]]) - 1) / 2)
    return affine


def write_nifti(
    path: str | Path, volume: np.ndarray, voxel_mm: tuple[float, float, float], acquisition: str, description: str
) -> None:
    """Write (slices, rows, cols) as float32 NIfTI, axes (column, row, slice), in mm, qform = sform, code 2."""
    import nibabel

    affine = affine_of(volume.shape, voxel_mm, acquisition)  # type: ignore[arg-type]
    image = nibabel.Nifti1Image(np.ascontiguousarray(volume.transpose(2, 1, 0), np.float32), affine)  # type: ignore[attr-defined]
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = description.encode("ascii", "replace")[:79]
    image.set_sform(affine, 2)
    image.set_qform(affine, 2)
    with atomic_path(path) as temporary:
        nibabel.save(image, temporary)  # type: ignore[attr-defined]
