"""Charts show every row at its value, and matplotlib is loaded only to draw one."""

import subprocess
import sys

import pytest

from mri_d3gm.errors import InputError
from mri_d3gm.lab.charts import chart, missing, write_chart

ROWS = [
    {"accel": 8.0, "axis": "phase", "method": "zero-filled", "psnr": 25.5},
    {"accel": 8.0, "axis": "phase", "method": "d3gm", "psnr": 29.25, "psnr_95": "28.00 to 30.00"},
    {"accel": 16.0, "axis": "readout", "method": "d3gm", "psnr": 27.0, "psnr_95": "26.00 to 28.00"},
]
drawn = pytest.mark.skipif(missing() is not None, reason="matplotlib is not installed")


@drawn
def test_every_row_is_a_dot_at_its_value_under_its_setting() -> None:
    (axes,) = chart(ROWS, "psnr", ("accel", "axis")).axes
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    assert labels == ["accel 8.0, axis phase", "zero-filled", "d3gm", "accel 16.0, axis readout", "d3gm"]
    dots = {labels.index("zero-filled"): 25.5, 2: 29.25, 4: 27.0}
    points = [line.get_xydata().tolist() for line in axes.lines]
    assert {place: value for ((value, place),) in (point for point in points if len(point) == 1)} == dots
    assert [point for point in points if len(point) == 2] == [[[28, 2], [30, 2]], [[26, 4], [28, 4]]]
    colours = {line.get_color() for line in axes.lines if line.get_ydata()[0] in (2, 4)}
    assert len(colours) == 1 and colours != {line.get_color() for line in axes.lines if line.get_ydata()[0] == 1}
    assert axes.yaxis_inverted()


@drawn
@pytest.mark.parametrize(("scale", "value", "text"), [("linear", float("inf"), "inf"), ("log", 0.0, "0"), ("log", -1.0, "-1")])
def test_a_value_that_the_axis_cannot_show_is_written(scale: str, value: float, text: str) -> None:
    (axes,) = chart([*ROWS, ROWS[0] | {"psnr": value}], "psnr", ("accel", "axis"), scale).axes
    assert [written.get_text() for written in axes.texts] == [text]
    assert axes.get_xscale() == scale and len([line for line in axes.lines if len(line.get_xdata()) == 1]) == 3


@drawn
def test_no_rows_and_no_place_to_write(tmp_path) -> None:
    write_chart([], tmp_path / "table.png", "psnr", ("accel",))
    assert (tmp_path / "table.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"table\.png"):
        write_chart(ROWS, tmp_path / "absent" / "table.png", "psnr", ("accel", "axis"))


def test_matplotlib_is_not_loaded_before_a_chart_is_drawn() -> None:
    code = "import sys; from mri_d3gm.lab.charts import missing; missing(); sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
