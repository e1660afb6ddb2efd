"""The demo's k-space: shipped slices of real anatomy as a scan of many coils in fastMRI's layout."""

from pathlib import Path

import h5py
import numpy as np

from mri_d3gm.io.atomic import atomic_path
from mri_d3gm.io.scan import fft2c
from mri_d3gm.shipped import shipped

XML = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<experimentalConditions><H1resonanceFrequency_Hz>123200000</H1resonanceFrequency_Hz></experimentalConditions>
<encoding><encodedSpace>{space}</encodedSpace><reconSpace>{space}</reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum><center>{middle}</center>
</kspace_encoding_step_1></encodingLimits><trajectory>cartesian</trajectory></encoding>
</ismrmrdHeader>"""
SPACE = (
    "<matrixSize><x>{rows}</x><y>{cols}</y><z>1</z></matrixSize>"
    "<fieldOfView_mm><x>{height:.4f}</x><y>{width:.4f}</y><z>{depth:.4f}</z></fieldOfView_mm>"
)


def write_demo_kspace(path: Path, coils: int = 8, noise: float = 0.01, seed: int = 0) -> None:
    """Multi-coil k-space in fastMRI's layout from the shipped T2 slices (open_ms_data, CC-BY): birdcage maps, a smooth
    phase, white noise of `noise` relative to the 99.5th percentile in each real and imaginary part.
    """
    import nibabel
    import sigpy.mri

    image = nibabel.load(shipped("demo", "t2_6slices.nii.gz"))  # type: ignore[attr-defined]
    canonical = nibabel.as_closest_canonical(image)  # type: ignore[attr-defined]
    zooms = canonical.header.get_zooms()
    volume = np.asarray(canonical.dataobj, np.float32)
    rows_to_anterior = np.moveaxis(volume, (2, 1, 0), (0, 1, 2))[..., ::-1]
    magnitude = rows_to_anterior / np.percentile(rows_to_anterior, 99.5)
    slices, rows, cols = magnitude.shape
    maps = sigpy.mri.birdcage_maps((coils, rows, cols)).astype(np.complex64)
    maps /= np.linalg.norm(maps, axis=0)
    random = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : cols * 1j]
    kspace = np.empty((slices, coils, rows, cols), np.complex64)
    reference = np.empty((slices, rows, cols), np.float32)
    for index in range(slices):
        a, b, c, d = random.normal(0, 1, 4)
        one = maps * magnitude[index] * np.exp(1j * (3 * a + 1.2 * (b * x + c * y) + 0.8 * d * x * y))
        one = one + noise * (random.normal(size=one.shape) + 1j * random.normal(size=one.shape))
        kspace[index] = fft2c(one)
        reference[index] = np.sqrt((np.abs(one) ** 2).sum(0))
    space = SPACE.format(rows=rows, cols=cols, height=rows * zooms[1], width=cols * zooms[0], depth=zooms[2])
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset("kspace", data=kspace)
        file.create_dataset("reconstruction_rss", data=reference)
        file.create_dataset("ismrmrd_header", data=XML.format(space=space, last=cols - 1, middle=cols // 2).encode())
        file.attrs.update(
            max=float(reference.max()), norm=float(np.linalg.norm(reference)), acquisition="AXT2", patient_id="demo"
        )
