"""The ISMRMRD header of a fastMRI file: matrix, field of view, limits.

The few elements are read by name: the package ismrmrd parses a whole header or nothing, and older files lack elements that it
demands, such as trajectory.
"""

import xml.etree.ElementTree as ET
from typing import NamedTuple

from mri_d3gm.errors import InputError

MOST = 1e9  # samples, mm


class Space(NamedTuple):
    """Matrix size and field of view in mm along readout (x), phase encode (y) and slice (z)."""

    matrix: tuple[int, ...]
    fov: tuple[float, ...]


class Header(NamedTuple):
    """Encoded and reconstructed space, and (first, last, centre) of the first phase-encode axis or None."""

    encoded: Space
    recon: Space
    limits: tuple[int, int, int] | None


class _Tree(ET.TreeBuilder):
    """Elements of a header without a document type, which ISMRMRD has not and which is where entities are defined."""

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise InputError("its XML header has a DOCTYPE, in which entities may grow without end; remove it")


def parse_header(xml: bytes | str) -> Header:
    """Header from its XML; ValueError where it is not XML, in an unknown encoding, or lacks encodedSpace or reconSpace.

    InputError, without the file's name, where it declares a document type.
    """
    try:
        root = ET.fromstring(xml, ET.XMLParser(target=_Tree()))
    except InputError:
        raise
    except Exception as error:  # besides ParseError, what codecs raise: LookupError, ValueError, UnicodeError
        raise ValueError("not readable XML") from error
    encoded, recon = _space(root, "encodedSpace"), _space(root, "reconSpace")
    step = root.find("{*}encoding/{*}encodingLimits/{*}kspace_encoding_step_1")
    if step is None:
        return Header(encoded, recon, None)
    first, last, centre = (int(_text(step, key)) for key in ("minimum", "maximum", "center"))
    return Header(encoded, recon, (first, last, centre))


def _text(element: ET.Element, key: str) -> str:
    text = element.findtext(f"{{*}}{key}")
    if text is None:
        raise ValueError(f"no {key}")
    return text


def _space(root: ET.Element, kind: str) -> Space:
    space = root.find(f"{{*}}encoding/{{*}}{kind}")
    matrix, fov = (None, None) if space is None else (space.find("{*}matrixSize"), space.find("{*}fieldOfView_mm"))
    if matrix is None or fov is None:
        raise ValueError(f"no {kind}")
    sizes = tuple(int(_text(matrix, axis)) for axis in "xyz")
    millimetres = tuple(float(_text(fov, axis)) for axis in "xyz")
    if not all(1 <= size < MOST for size in sizes) or not all(1 / MOST < length < MOST for length in millimetres):
        raise ValueError(f"sizes of {kind} are not possible")
    return Space(sizes, millimetres)


def fit_axis(size: int, encoded: tuple[int, float], recon: tuple[int, float]) -> tuple[float, int]:
    """Voxel spacing in mm and samples to keep of an image axis of `size`; (matrix, fov in mm) of both spaces.

    An axis that has reconSpace's size and not encodedSpace's was cropped before: it spans reconSpace's field of view.
    """
    if size == recon[0] != encoded[0]:
        return recon[1] / recon[0], size
    spacing = encoded[1] / size
    wanted = round(recon[1] / spacing)
    if abs(wanted - recon[0]) <= max(2, wanted // 50):
        wanted = recon[0]
    return spacing, max(1, min(size, wanted))


def encoded_columns(limits: tuple[int, int, int] | None, cols: int) -> tuple[int, int] | None:
    """(first, end) columns inside the header's encoding limits, by fastMRI's rule; None where they are all."""
    if limits is None:
        return None
    first, last, centre = limits
    start, end = max(0, cols // 2 - centre + first), min(cols, cols // 2 - centre + last + 1)
    return None if (start, end) == (0, cols) or end - start < 8 else (start, end)
