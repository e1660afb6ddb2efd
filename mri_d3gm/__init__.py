"""Undersampled MRI k-space to images with measured trust, by measure-preserving diffusion (D3GM)."""

from __future__ import annotations

from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from mri_d3gm.settings import Settings
    from mri_d3gm.tasks.recon import Reconstruction
    from mri_d3gm.tasks.restore import Restoration
    from mri_d3gm.tasks.sr import SuperResolution

__version__ = "0.2.0"
__all__ = ["reconstruct", "restore", "superresolve"]


def _array(name: str, value: Any) -> np.ndarray:
    """numpy's array of an array or tensor, wherever it lies; InputError where it is none."""
    import numpy as np

    from mri_d3gm.errors import InputError

    try:
        return np.asarray(value.numpy(force=True) if hasattr(value, "detach") else value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: not an array: {error}") from error


def _is_path(given: Any, settings: Settings) -> TypeGuard[str | Path]:
    """Whether an input is a path and no array; InputError for options that do nothing for it here."""
    from mri_d3gm.settings import OF_COMMAND, OF_FILES

    settings.without(OF_COMMAND, "the command alone writes files; leave it out")
    if isinstance(given, str | Path):
        return True
    settings.without(OF_FILES, "says how a file is read; leave it out for an array")
    return False


def reconstruct(
    kspace: np.ndarray | Tensor | str | Path,
    mask: np.ndarray | Tensor | None = None,
    *,
    coil_maps: np.ndarray | Tensor | str | Path | None = None,
    noise: np.ndarray | Tensor | float | None = None,
    voxel_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    part: int | str | None = None,
    **settings: Any,
) -> Reconstruction:
    """Images from undersampled k-space.

    kspace: complex (slices, coils, rows, cols), (slices, rows, cols) of one coil, or (rows, cols); rows the readout, the centre
    of k-space at (rows // 2, cols // 2), any units; or the path of a file. Fully sampled k-space is undersampled by
    settings.accel and scored. mask: what was measured, bool (cols,), (rows, 1) or (rows, cols); found from the zeros if
    None. coil_maps: complex (coils, rows, cols), or one such set a slice; estimated if None. noise: deviation of the noise in
    each real and imaginary part of kspace, or a noise scan (coils, samples); estimated if None. voxel_mm: row, column and slice
    spacing. mask, noise and voxel_mm are for arrays; a file holds its own. part: which of several in a file, such as echoes, by
    its number from 1 or its name (echo-2); the first, and a warning that names them, if None. settings: the fields of
    `mri_d3gm.settings.Recon`, such as accel, quality, method, seed, threads, but for those of what the command writes, such as
    report, and with an array those of how a file is read, such as axes.

    Returns volume, std, zero_filled, reference (None if unknown), each (slices, rows, cols) float32 in kspace's units
    (orthonormal FFT), affine (4, 4) and the record of how it was made. InputError (`mri_d3gm.errors`) for what cannot be used.
    """
    import numpy as np

    from mri_d3gm.errors import InputError
    from mri_d3gm.io.coil_maps import checked_coil_maps
    from mri_d3gm.io.open_scan import open_scan, scan_of_array
    from mri_d3gm.io.scan import chosen_part
    from mri_d3gm.settings import Recon
    from mri_d3gm.tasks import recon

    maps = None
    if isinstance(coil_maps, str | Path):
        settings["coil_maps"] = coil_maps
    elif coil_maps is not None:
        maps = _array("coil_maps", coil_maps)
    chosen = Recon.of(settings)
    if _is_path(kspace, chosen):
        if mask is not None or noise is not None or not np.array_equal(_array("voxel_mm", voxel_mm), (1.0, 1.0, 1.0)):
            raise InputError(f"{kspace}: a file holds its own mask, noise and voxel_mm; leave them out, or give an array")
        scan = chosen_part(open_scan(kspace, chosen.reading()), part)
    else:
        if part is not None:
            raise InputError(f"part {part!r}: an array holds no parts; leave it out")
        known = {name: _array(name, value) for name, value in (("mask", mask), ("noise", noise)) if value is not None}
        scan = scan_of_array(_array("kspace", kspace), voxel_mm=_array("voxel_mm", voxel_mm), **known)
    if maps is not None:
        if maps.ndim == 4 and len(maps) != scan.slices:
            swapped = "; coils come before slices: exchange them" if maps.shape[:2] == (scan.file_coils, scan.slices) else ""
            text = f"coil_maps: {len(maps)} sets for {scan.slices} slices; give one set for all, or one a slice"
            raise InputError(text + swapped)
        maps = np.stack([checked_coil_maps(one, scan) for one in (maps if maps.ndim == 4 else maps[None])])
        maps = maps if len(maps) > 1 or scan.slices == 1 else maps[0]
    return recon.reconstruct(scan, chosen, coil_maps=maps)


def superresolve(
    image: np.ndarray | Tensor | str | Path,
    affine: np.ndarray | Tensor | None = None,
    *,
    time_step: float | None = None,
    **settings: Any,
) -> SuperResolution:
    """An image of settings.scale (2 or 4) times the in-plane matrix.

    image: real (i, j, k) or (i, j, k, t); or the path of a NIfTI, NRRD or DICOM image. affine: (4, 4) from voxel index to mm
    (RAS), which says which axis is across slices; 1 mm voxels if None. time_step: seconds between frames. Both are for arrays;
    a file holds its own. settings: the fields of `mri_d3gm.settings.SuperResolve`, but for those of what the command
    writes, such as report, and with an array series.

    Returns volume, std, reference (None unless settings.degrade), each (i, j, k[, t]) float32 in the image's units, the affine
    of their grid and the record of how it was made. InputError (`mri_d3gm.errors`) for what cannot be used.
    """
    import numpy as np

    from mri_d3gm.errors import InputError
    from mri_d3gm.io.image import make_image
    from mri_d3gm.io.open_image import open_image
    from mri_d3gm.settings import SuperResolve
    from mri_d3gm.tasks import sr

    chosen = SuperResolve.of(settings)
    if _is_path(image, chosen):
        if affine is not None or time_step is not None:
            raise InputError(f"{image}: a file holds its own affine and time step; leave them out, or give an array")
        source = open_image(image, chosen.series)
    else:
        if not (time_step is None or isinstance(time_step, Real)):
            raise InputError(f"time_step {time_step!r}: a number of seconds is needed")
        grid = np.eye(4) if affine is None else _array("affine", affine)
        source = make_image("image", _array("image", image), grid, (), time_step=time_step)  # type: ignore[arg-type]
    return sr.superresolve(source, chosen)


def restore(picture: np.ndarray | Tensor | str | Path, **settings: Any) -> Restoration:
    """A photograph without rain or haze.

    picture: floats in [0, 1], (rows, cols, 3) or (rows, cols, 1); or the path of a PNG, JPEG, TIFF or WebP file. settings: the
    fields of `mri_d3gm.settings.Restore`, such as task.

    Returns image, degraded, reference (None if unknown), each (rows, cols, 3) float32 in [0, 1], and the record of how it was
    made. InputError (`mri_d3gm.errors`) for what cannot be used.
    """
    from mri_d3gm.io.images.pictures import read_picture
    from mri_d3gm.settings import Restore
    from mri_d3gm.tasks import restore as task

    chosen = Restore.of(settings)
    if not isinstance(picture, str | Path):
        return task.restore(_array("picture", picture), chosen)
    source = read_picture(picture)
    return task.restore(source.array, chosen, visible=source.visible)
