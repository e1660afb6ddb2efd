"""Rows of a benchmark as Markdown, CSV and a picture."""

import csv
import io
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def to_markdown(rows: list[Row]) -> str:
    """A Markdown table with the first row's keys as columns."""
    if not rows:
        return "(no rows)\n"
    columns = list(rows[0])
    lines = [columns, ["---"] * len(columns), *([str(row[column]) for column in columns] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def to_csv(rows: list[Row]) -> str:
    """CSV text with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def figure(rows: list[Row], path: Path, key: str) -> None:
    """Horizontal bars of `key`, one a row, labelled by acceleration, axis and method, as PNG."""
    from PIL import Image, ImageDraw

    from mri_d3gm.io.atomic import atomic_path

    values = [float(row[key]) for row in rows]
    low, high = min(values) - 1, max(values)
    canvas = Image.new("RGB", (760, 22 * len(rows) + 30), "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((6, 6), key, fill="black")
    for index, (row, value) in enumerate(zip(rows, values, strict=True)):
        top = 26 + 22 * index
        draw.text((6, top + 3), f"{row['accel']:g}x {row['axis']:8s} {row['method']}", fill="black")
        right = 220 + 460 * (value - low) / (high - low)
        draw.rectangle((220, top + 2, right, top + 17), fill="#35618f" if row["method"] == "d3gm" else "#b8bec6")
        draw.text((right + 4, top + 3), f"{value:.2f}", fill="black")
    with atomic_path(path) as temporary:
        canvas.save(temporary, "PNG")
