"""Rows of figures: grouped, and as Markdown, CSV and text."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mri_d3gm.io.atomic import write_text

Row = dict[str, Any]


def columns(rows: list[Row]) -> list[str]:
    """Keys of all rows, in the order of their first appearance."""
    return list(dict.fromkeys(key for row in rows for key in row))


def groups(rows: Sequence[Row], by: Sequence[str], leading: int = 1) -> list[tuple[Row, list[Row]]]:
    """Rows that have the same values of the columns `by`, after these values, in the order of their appearance; groups that
    share the first `leading` values stand together.
    """
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in by), []).append(row)
    order = list(dict.fromkeys(key[:leading] for key in found))
    keys = sorted(found, key=lambda key: order.index(key[:leading]))
    return [(dict(zip(by, key, strict=True)), found[key]) for key in keys]


def average(values: Sequence[float]) -> float:
    """Mean of figures; infinite ones, PSNR of equal images, are left out where others are finite."""
    finite = [value for value in values if not math.isinf(value)] or values
    return sum(finite) / len(finite)


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


def write_table(rows: list[Row], folder: Path, name: str) -> None:
    """Rows as NAME.md and NAME.csv in a folder, each whole or not at all."""
    write_text(folder / f"{name}.md", to_markdown(rows))
    write_text(folder / f"{name}.csv", to_csv(rows))


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
