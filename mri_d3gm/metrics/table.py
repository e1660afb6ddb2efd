"""Rows of a benchmark as Markdown, CSV and a picture."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

Row = dict[str, Any]

LINE, LEFT, RIGHT, WIDTH = 22, 250, 690, 760


def columns(rows: list[Row]) -> list[str]:
    """Keys of all rows, in the order of their first appearance."""
    return list(dict.fromkeys(key for row in rows for key in row))


def to_markdown(rows: list[Row]) -> str:
    """A Markdown table; a cell is empty where a row lacks the column."""
    if not rows:
        return "(no rows)\n"
    names = columns(rows)
    cells = [names, ["---"] * len(names), *([str(row.get(name, "")) for name in names] for row in rows)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in cells)


def to_csv(rows: list[Row]) -> str:
    """CSV text with a header; a cell is empty where a row lacks the column."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_text(rows: list[Row], width: int, headings: Mapping[str, str] = MappingProxyType({})) -> str:
    """A table for a terminal of `width` columns: aligned, numbers to the right, columns left out from the end until it fits.

    headings: shorter names of columns.
    """
    table: list[list[str]] = []
    for name in columns(rows):
        cells = [str(row.get(name, "")) for row in rows]
        right = all(isinstance(row.get(name, 0), int | float) for row in rows)
        size = max(map(len, [heading := headings.get(name, name), *cells]))
        column = [cell.rjust(size) if right else cell.ljust(size) for cell in (heading, *cells)]
        if sum(len(kept[0]) + 2 for kept in table) + size > width:
            break
        table.append(column)
    return "".join("  ".join(line).rstrip() + "\n" for line in zip(*table, strict=True))


def figure(rows: list[Row], path: Path, key: str, by: Sequence[str]) -> None:
    """PNG of horizontal bars of `key`, one a row, labelled by the columns `by` and method, a gap between settings. Bars start
    one below the smallest value, which the title says; one that is not finite has its value and no bar.
    """
    from PIL import Image, ImageDraw

    from mri_d3gm.io.atomic import atomic_path

    finite = [float(row[key]) for row in rows if math.isfinite(float(row[key]))] or [0.0]
    low, high = min(finite) - 1, max(finite)
    settings = list(dict.fromkeys(tuple(row[name] for name in by) for row in rows))
    canvas = Image.new("RGB", (WIDTH, 30 + LINE * len(rows) + LINE // 2 * len(settings)), "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((6, 6), f"{key} (bars start at {low:.2f})", fill="black")
    for index, row in enumerate(rows):
        value = float(row[key])
        top = 30 + LINE * index + LINE // 2 * settings.index(tuple(row[name] for name in by))
        draw.text((6, top + 3), " ".join(str(row[name]) for name in (*by, "method")), fill="black")
        right = LEFT + (RIGHT - LEFT) * (value - low) / (high - low) if math.isfinite(value) else LEFT
        if right > LEFT:
            draw.rectangle((LEFT, top + 2, right, top + 17), fill="#35618f" if row["method"] == "d3gm" else "#b8bec6")
        draw.text((right + 4, top + 3), f"{value:.2f}", fill="black")
    with atomic_path(path) as temporary:
        canvas.save(temporary, "PNG")
