"""Tables read back as what was put in."""

import csv
import io

from mri_d3gm.metrics.table import groups, to_csv, to_markdown, to_text

ROWS = [
    {"accel": 8.0, "axis": "phase", "method": "zero-filled", "psnr": 25.5, "psnr_95": "24.10 to 26.00"},
    {"accel": 8.0, "axis": "phase", "method": "d3gm", "psnr": 29.25, "psnr_95": "28.00 to 30.00"},
    {"accel": 16.0, "axis": "readout", "method": "d3gm", "psnr": 27.0, "psnr_95": "26.00 to 28.00"},
]


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


def test_groups_stand_where_they_appear_first_and_together_by_their_leading_values():
    rows = [{"a": a, "b": b, "n": n} for n, (a, b) in enumerate([("y", 1), ("x", 1), ("y", 2), ("x", 1), ("y", 1)])]
    assert [(key["a"], key["b"], [row["n"] for row in some]) for key, some in groups(rows, ("a", "b"))] == [
        ("y", 1, [0, 4]), ("y", 2, [2]), ("x", 1, [1, 3])
    ]  # fmt: skip
    assert [key["b"] for key, _ in groups(rows, ("a", "b"), 2)] == [1, 1, 2]
    assert [key for key, _ in groups(rows, ["b"], 0)] == [{"b": 1}, {"b": 2}]


def test_no_rows():
    assert to_markdown([]) == "(no rows)\n"
    assert to_csv([]).strip() == to_text([], 80) == ""
