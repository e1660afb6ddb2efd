"""Made scans for the tests of io."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mri_d3gm.errors import InputError

HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>{rows}</x><y>{cols}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{height}</x><y>{width}</y><z>{depth}</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{out_rows}</x><y>{out_cols}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{out_height}</x><y>{out_width}</y><z>{depth}</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum><center>{center}</center>
</kspace_encoding_step_1></encodingLimits></encoding></ismrmrdHeader>"""


def header(rows: int, cols: int, spacing: float = 1.5, depth: float = 4.0, **changes: Any) -> str:
    values: dict[str, Any] = {"rows": rows, "cols": cols, "out_rows": rows, "out_cols": cols, "depth": depth}
    values |= {"last": cols - 1, "center": cols // 2} | changes
    lengths = {"height": "rows", "width": "cols", "out_height": "out_rows", "out_width": "out_cols"}
    values |= {key: values[size] * spacing for key, size in lengths.items() if key not in changes}
    return HEADER.format(**values)


def phantom(rows: int = 32, cols: int = 24) -> np.ndarray:
    """Positive textured body, with one bright square at high rows and low columns."""
    image = np.random.default_rng(0).uniform(0.1, 0.3, (rows, cols))
    image[rows - rows // 4 : rows - rows // 8, cols // 8 : cols // 4] = 1
    return image


def to_kspace(image: np.ndarray) -> np.ndarray:
    shifted = np.fft.fft2(np.fft.ifftshift(image, axes=(-2, -1)), norm="ortho")
    return np.fft.fftshift(shifted, axes=(-2, -1))


def to_image(kspace: np.ndarray) -> np.ndarray:
    shifted = np.fft.ifft2(np.fft.ifftshift(kspace, axes=(-2, -1)), norm="ortho")
    return np.fft.fftshift(shifted, axes=(-2, -1))


def error_of(read: Callable[..., Any], path: Path, *arguments: Any) -> str:
    """The one line with which a reader refuses a file, which it names."""
    with pytest.raises(InputError) as error:
        read(path, *arguments)
    text = str(error.value)
    assert "\n" not in text and str(path) in text and "Error" not in text
    return text
