"""Rows of figures as Markdown, CSV and text."""

import csv
import io
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

Row = dict[str, Any]


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
