"""Undersampled MRI k-space to images with measured trust, by measure-preserving diffusion (D3GM)."""

from typing import Any

__version__ = "0.1.0"


def reconstruct(path: str, **options: Any) -> Any:
    """Reconstruct a fastMRI-layout file: arrays and the record; options as in `mri_d3gm.tasks.recon.DEFAULTS`.

    Returns a `Reconstruction`: volume, std, zero_filled, reference (slices, rows, cols) float32 in the file's units,
    and record. Raises `mri_d3gm.errors.InputError` for input that cannot be used.
    """
    from mri_d3gm.tasks.recon import reconstruct as run

    return run(path, **options)
