"""Tables read back as what was put in; the picture shows the order of values."""

import csv
import io

import numpy as np
import pytest
from PIL import Image

from mri_d3gm.errors import InputError
from mri_d3gm.metrics.table import figure, to_csv, to_markdown, to_text

ROWS = [
    {"accel": 8.0, "axis": "phase", "method": "zero-filled", "psnr": 25.5, "psnr_95": "24.10 to 26.00"},
    {"accel": 8.0, "axis": "phase", "method": "d3gm", "psnr": 29.25, "psnr_95": "28.00 to 30.00"},
    {"accel": 16.0, "axis": "readout", "method": "d3gm", "psnr": 27.0, "psnr_95": "26.00 to 28.00"},
]
BLUE, GREY = (0x35, 0x61, 0x8F), (0xB8, 0xBE, 0xC6)


def test_markdown_has_a_header_a_rule_and_a_line_a_row():
    lines = to_markdown(ROWS).splitlines()
    assert lines[:3] == [
        "| accel | axis | method | psnr | psnr_95 |",
        "| --- | --- | --- | --- | --- |",
        "| 8.0 | phase | zero-filled | 25.5 | 24.10 to 26.00 |",
    ]
    assert len(lines) == 5


def test_bars_inside_a_cell_do_not_split_it():
    assert to_markdown([{"method": "a|b"}]).splitlines()[2] == "| a\\|b |"


def test_csv_reads_back():
    rows = [*ROWS, ROWS[0] | {"method": 'odd, "quoted"'}]
    assert list(csv.DictReader(io.StringIO(to_csv(rows)))) == [{k: str(v) for k, v in row.items()} for row in rows]
    assert "\r" not in to_csv(rows)


def test_rows_may_lack_columns():
    rows = [{"method": "tv"}, {"method": "d3gm", "std": 1}]
    assert to_markdown(rows).splitlines() == ["| method | std |", "| --- | --- |", "| tv |  |", "| d3gm | 1 |"]
    assert to_csv(rows) == "method,std\ntv,\nd3gm,1\n"


def test_a_terminals_table_is_aligned_and_leaves_out_columns_from_the_end():
    assert to_text(ROWS, 80, {"psnr_95": "95 %"}).splitlines() == [
        "accel  axis     method        psnr  95 %",
        "  8.0  phase    zero-filled   25.5  24.10 to 26.00",
        "  8.0  phase    d3gm         29.25  28.00 to 30.00",
        " 16.0  readout  d3gm          27.0  26.00 to 28.00",
    ]
    for width in range(80):
        lines = to_text(ROWS, width).splitlines()
        assert all(len(line) <= width for line in lines)
        assert not lines or "accel  axis     method        psnr  psnr_95".startswith(lines[0])
    assert to_text([{"psnr": 1.0}, {"worst": 2.0}], 80).splitlines() == ["psnr  worst", " 1.0", "        2.0"]


def test_no_rows(tmp_path):
    assert to_markdown([]) == "(no rows)\n"
    assert to_csv([]).strip() == ""
    figure([], tmp_path / "table.png", "psnr", ("accel", "axis"))
    assert Image.open(tmp_path / "table.png").height == 30


def bars(path, colour) -> list[int]:
    """Lengths of the runs of a colour, one for each bar from the top."""
    hit = (np.asarray(Image.open(path).convert("RGB")) == colour).all(-1)
    starts = np.flatnonzero(np.diff(hit.any(1).astype(int), prepend=0) == 1)
    return [int(hit[start].sum()) for start in starts]


def test_bars_have_the_lengths_of_their_values(tmp_path):
    figure(ROWS, tmp_path / "table.png", "psnr", ("accel", "axis"))
    [zero_filled], [first, second] = bars(tmp_path / "table.png", GREY), bars(tmp_path / "table.png", BLUE)
    assert first / zero_filled == pytest.approx(4.75, rel=0.03)
    assert second / zero_filled == pytest.approx(2.5, rel=0.03)


def test_a_value_that_is_not_finite_has_no_bar(tmp_path):
    figure([ROWS[0], ROWS[1] | {"psnr": float("inf")}], tmp_path / "table.png", "psnr", ("accel", "axis"))
    assert len(bars(tmp_path / "table.png", GREY)) == 1
    assert bars(tmp_path / "table.png", BLUE) == []


def test_a_picture_that_cannot_be_written_is_a_users_error(tmp_path):
    with pytest.raises(InputError, match=r"table\.png"):
        figure(ROWS, tmp_path / "absent" / "table.png", "psnr", ("accel", "axis"))
