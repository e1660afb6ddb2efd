"""Makes fastMRI-layout files for tests."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

XML = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>{rows}</x><y>{cols}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{rows_mm}</x><y>{cols_mm}</y><z>4</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{recon}</x><y>{cols}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{recon_mm}</x><y>{cols_mm}</y><z>4</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum><center>{centre}</center>
</kspace_encoding_step_1></encodingLimits></encoding></ismrmrdHeader>"""


def header(rows: int, cols: int, oversampling: int = 1, last: int | None = None, centre: int | None = None) -> str:
    """A header of 2 mm rows and 1.5 mm columns."""
    recon = rows // oversampling
    return XML.format(
        rows=rows,
        cols=cols,
        recon=recon,
        rows_mm=2.0 * rows,
        recon_mm=2.0 * recon,
        cols_mm=1.5 * cols,
        last=cols - 1 if last is None else last,
        centre=cols // 2 if centre is None else centre,
    )


def fft2c(image: np.ndarray) -> np.ndarray:
    shifted = np.fft.ifftshift(image, axes=(-2, -1))
    return np.fft.fftshift(np.fft.fft2(shifted, norm="ortho"), axes=(-2, -1)).astype(np.complex64)


def phantom(slices: int = 2, rows: int = 48, cols: int = 40) -> np.ndarray:
    """(slices, rows, cols) with a bright square at high rows and low columns, so that flips show."""
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : cols * 1j]
    image = 1.0 * (x**2 + y**2 < 0.6)
    image[int(rows * 0.7) : int(rows * 0.8), int(cols * 0.3) : int(cols * 0.4)] = 3
    return np.stack([image * (1 + 0.2 * index) for index in range(slices)])


def four_coils(rows: int = 72, cols: int = 64) -> np.ndarray:
    """K-space (2, 4, rows, cols) of the phantom under smooth coils, with noise."""
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : cols * 1j]
    maps = np.stack([np.exp(-((x - a) ** 2 + (y - b) ** 2)) for a, b in ((-1, 0), (1, 0), (0, -1), (0, 1))])
    noise = np.random.default_rng(0).normal(0, 0.02, (2, 2, 4, rows, cols))
    image = phantom(2, rows, cols)[:, None] * maps / np.linalg.norm(maps, axis=0) * np.exp(0.5j * x + 0.3j * y)
    return fft2c(image + noise[0] + 1j * noise[1]).astype(np.complex64)


def write_scan(path: Path, kspace: np.ndarray | None = None, xml: str | None = None, **datasets: Any) -> Path:
    """Write kspace (default: the phantom's, one coil, a little noise) with a header and further datasets."""
    if kspace is None:
        noise = np.random.default_rng(0).normal(0, 0.01, (2, *phantom().shape))
        kspace = fft2c(phantom() * np.exp(0.3j) + noise[0] + 1j * noise[1])
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace
        file["ismrmrd_header"] = header(*kspace.shape[-2:]) if xml is None else xml
        for name, data in datasets.items():
            file[name] = data
        file.attrs["acquisition"] = "AXT2"
    return path
