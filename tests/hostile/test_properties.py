"""What holds whatever a file says."""

import math
from pathlib import Path
from random import Random

import nibabel
import numpy as np
from hostile.attack import GOOD, Ask
from hostile.flips import damaged
from hostile.formats import FORMATS
from hypothesis import given, settings
from hypothesis import strategies as st
from scans import header

from mri_d3gm.errors import InputError
from mri_d3gm.io.images.codestreams import size_of
from mri_d3gm.io.raw.header import encoded_columns, encoding_of, fit_axis, parse_xml

ALIKE = settings(derandomize=True, deadline=None, database=None, max_examples=200)
TEXT = st.lists(st.integers(0, 0x10FFFF), max_size=20).map(lambda codes: "".join(map(chr, codes)))
NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.floats(), TEXT).map(str)
SIZES = st.sampled_from([-(2**15), -1, 0, 1, 2, 7, 16, 255, 2**15 - 1])


@ALIKE
@given(TEXT)
def test_an_input_error_is_one_line_that_can_be_printed(text: str) -> None:
    said = str(InputError(text))
    assert said.isprintable() or not said
    assert not text.isprintable() or said == text


@ALIKE
@given(st.one_of(st.binary(), TEXT, st.builds("<a{}b{}</a>".format, TEXT, TEXT)))
def test_what_is_no_header_is_a_value_error(xml: bytes | str) -> None:
    try:
        encoding_of(parse_xml(xml), 0)
    except (ValueError, InputError):
        return
    raise AssertionError("a header of nothing")


@ALIKE
@given(st.dictionaries(st.sampled_from(["rows_mm", "cols_mm", "rows", "cols", "last", "centre", "recon"]), NUMBERS))
def test_a_header_gives_a_grid_within_the_data_or_none(values: dict[str, str]) -> None:
    xml = header(16, 16)
    for name, value in values.items():
        old = {"rows_mm": "32.0", "cols_mm": "24.0", "last": "15", "centre": "8"}.get(name, "16")
        xml = xml.replace(f">{old}<", f">{value}<", 1)
    try:
        found = encoding_of(parse_xml(xml), 0)
    except ValueError:
        return
    for axis in (0, 1):
        encoded, recon = ((space.matrix[axis], space.fov[axis]) for space in (found.encoded, found.recon))
        spacing, kept = fit_axis(16, encoded, recon)
        assert 0 < spacing < math.inf and 1 <= kept <= 16
    limits = encoded_columns(found.lines, 16)
    assert limits is None or 0 <= limits[0] < limits[1] <= 16


@ALIKE
@given(st.binary(), st.integers(0, 2**32))
def test_damage_depends_on_its_seed_alone(content: bytes, seed: int) -> None:
    assert damaged(content, Random(seed)) == damaged(content, Random(seed))


@ALIKE
@given(st.sampled_from([b"\xff\xd8", b"\xff\xd8\xff\xc0", b"\xff\x4f\xff\x51", b""]), st.binary())
def test_any_bytes_have_a_size_or_none(start: bytes, rest: bytes) -> None:
    found = size_of(start + rest)
    assert found is None or len(found) == 3


def test_a_nifti_header_of_any_shape_and_type_is_an_image_or_one_line(ask: Ask, tmp_path: Path) -> None:
    content = bytearray(FORMATS["NIfTI"].write(tmp_path).read_bytes())
    path = tmp_path / "b.nii"

    @settings(ALIKE, max_examples=60)
    @given(st.lists(SIZES, min_size=8, max_size=8), st.sampled_from([0, 2, 4, 16, 32, 64, 128, 1536, 2048, 2304, 32767]))
    def check(dims: list[int], datatype: int) -> None:
        made = np.frombuffer(content[:348], nibabel.Nifti1Header.template_dtype).copy()
        made["dim"], made["datatype"] = dims, datatype
        path.write_bytes(made.tobytes() + content[348:])
        answer = ask("NIfTI", path)
        assert answer.outcome in GOOD and answer.memory < 4 << 20, answer

    check()
