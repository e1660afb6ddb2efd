"""The ISMRMRD header of a fastMRI file: matrix, field of view, limits."""

import xml.etree.ElementTree as ET
from typing import NamedTuple

from mri_d3gm.errors import InputError

NAMESPACE = "{http://www.ismrm.org/ISMRMRD}"


class Space(NamedTuple):
    """Matrix size and field of view in mm along readout (x), phase encode (y) and slice (z)."""

    matrix: tuple[int, int, int]
    fov: tuple[float, float, float]


class Header(NamedTuple):
    """Encoded and reconstructed space, and (first, last, centre) of the first phase-encode axis or None."""

    encoded: Space
    recon: Space
    limits: tuple[int, int, int] | None


def parse_header(xml: bytes | str, name: str) -> Header:
    """Header from its XML; InputError naming the file where it cannot be understood."""
    try:
        encoding = ET.fromstring(xml).find(f"{NAMESPACE}encoding")
        assert encoding is not None
        encoded, recon = (_space(encoding.find(f"{NAMESPACE}{kind}")) for kind in ("encodedSpace", "reconSpace"))
        step = encoding.find(f"{NAMESPACE}encodingLimits/{NAMESPACE}kspace_encoding_step_1")
        limits = None if step is None else tuple(int(_text(step, key)) for key in ("minimum", "maximum", "center"))
    except (ET.ParseError, AssertionError, ValueError) as error:
        raise InputError(f"{name}: ismrmrd_header cannot be read; it needs encodedSpace and reconSpace") from error
    return Header(encoded, recon, limits)  # type: ignore[arg-type]


def _text(element: ET.Element, key: str) -> str:
    text = element.findtext(f"{NAMESPACE}{key}")
    if text is None:
        raise ValueError(key)
    return text


def _space(element: ET.Element | None) -> Space:
    assert element is not None
    matrix, fov = element.find(f"{NAMESPACE}matrixSize"), element.find(f"{NAMESPACE}fieldOfView_mm")
    assert matrix is not None and fov is not None
    sizes = tuple(int(_text(matrix, axis)) for axis in "xyz")
    millimetres = tuple(float(_text(fov, axis)) for axis in "xyz")
    if min(sizes) < 1 or min(millimetres) <= 0:
        raise ValueError("sizes must be positive")
    return Space(sizes, millimetres)  # type: ignore[arg-type]
