"""A writer of images: FreeSurfer's MGZ."""

from pathlib import Path

import numpy as np

from mri_d3gm.io.atomic import atomic_path
from mri_d3gm.io.image import Image


def write_mgh(path: str | Path, image: Image, code: int, description: str) -> None:
    """Write array, affine and time step; the format has no place for the kind of coordinates and for a description."""
    import nibabel

    made = nibabel.MGHImage(image.array.astype(np.float32), image.affine)
    made.header["tr"] = 1000 * (image.time_step or 0)
    with atomic_path(path) as temporary:
        nibabel.save(made, temporary)
