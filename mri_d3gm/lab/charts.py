"""Charts of tables, drawn by matplotlib where it is installed (the extra `lab`); without it none is drawn."""

import math
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import groupby, product
from pathlib import Path
from typing import TYPE_CHECKING

from mri_d3gm.io.atomic import atomic_path
from mri_d3gm.metrics.table import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DASHES = ("-", "--", ":", "-.")
OURS, OTHERS, FAINT = "#35618f", "#8a9099", "#e3e6ea"
LINE = 0.22  # inches


def missing() -> str | None:
    """How to get charts, in one line; None where they can be drawn."""
    return None if find_spec("matplotlib") else "no chart was drawn: matplotlib is missing; pip install 'mri-d3gm[lab]'"


def write_chart(rows: Sequence[Row], path: Path, key: str, by: Sequence[str], scale: str = "linear") -> None:
    """PNG of `chart`; nothing where matplotlib is missing. InputError where the file cannot be written."""
    if missing() is None:
        with atomic_path(path) as temporary:
            chart(rows, key, by, scale).savefig(temporary, dpi=120)


def chart(rows: Sequence[Row], key: str, by: Sequence[str], scale: str = "linear") -> "Figure":
    """A dot for the value `key` of every row, named by its method, with its interval `key`_95 where it has one.

    by: the columns that head a group of neighbouring rows. scale: of the axis, linear or log; what it cannot show, such as
    infinity, is written at the left edge. d3gm is blue.
    """
    from matplotlib.figure import Figure

    lines = list(grouped(rows, by))
    figure = Figure(figsize=(7, 0.8 + LINE * len(lines)), layout="constrained")
    axes = figure.add_subplot(xscale=scale, xlabel=key, ylim=(len(lines) - 0.4, -0.6))
    axes.set_yticks(range(len(lines)), [label for label, _ in lines])
    for place, (tick, (_, row)) in enumerate(zip(axes.get_yticklabels(), lines, strict=True)):
        if row is None:
            tick.set_fontweight("bold")
            continue
        value, colour = float(row[key]), OURS if row["method"] == "d3gm" else OTHERS
        if not math.isfinite(value) or (scale == "log" and value <= 0):
            axes.text(0.02, place, f"{value:g}", transform=axes.get_yaxis_transform(), va="center", color=colour)
            continue
        if row.get(f"{key}_95"):
            low, high = map(float, row[f"{key}_95"].split(" to "))
            axes.plot([low, high], [place, place], color=colour)
        axes.plot([value], [place], "o", color=colour)
    axes.grid(axis="x", color=FAINT)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    return figure


def grouped(rows: Sequence[Row], by: Sequence[str]) -> Iterator[tuple[str, Row | None]]:
    """The lines of a chart from the top: heading and None for each group of neighbours, then method and row of each in it."""
    for setting, group in groupby(rows, lambda row: [row[name] for name in by]):
        yield ", ".join(f"{name} {value}" for name, value in zip(by, setting, strict=True)), None
        yield from ((str(row["method"]), row) for row in group)


def write_curves(rows: Sequence[Row], path: Path, axes: tuple[str, str], across: str, down: str) -> None:
    """PNG of `curves`; nothing where matplotlib is missing. InputError where the file cannot be written."""
    if missing() is None:
        with atomic_path(path) as temporary:
            curves(rows, axes, across, down).savefig(temporary, dpi=120)


def curves(rows: Sequence[Row], axes: tuple[str, str], across: str, down: str) -> "Figure":
    """The second of the columns `axes`, from 0 to 1, against the first: a line for each method, in a panel for each value of
    the columns `across` and `down`. d3gm is blue.
    """
    from matplotlib.figure import Figure

    x, y = axes
    columns, lines = (list(dict.fromkeys(row[name] for row in rows)) for name in (across, down))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    others = [method for method in methods if method != "d3gm"]
    figure = Figure(figsize=(1 + 2.4 * len(columns), 0.9 + 2 * len(lines)), layout="constrained")
    panels = figure.subplots(len(lines), len(columns), sharex=True, sharey=True, squeeze=False)
    for (i, line), (j, column) in product(enumerate(lines), enumerate(columns)):
        panel = panels[i, j]
        panel.set_title(f"{across} {column:g}, {down} {line:g}", fontsize=9)
        for method in methods:
            points = sorted((r[x], r[y]) for r in rows if (r[down], r[across], r["method"]) == (line, column, method))
            ours = method == "d3gm"
            dash = "-" if ours else DASHES[others.index(method) % len(DASHES)]
            colour = OURS if ours else OTHERS
            panel.plot(*zip(*points, strict=True), dash, marker="o", ms=4, color=colour, label=method, zorder=2 + ours)
        panel.set(ylim=(-0.04, 1.04), xlabel=x if line == lines[-1] else "", ylabel=y if column == columns[0] else "")
        panel.grid(color=FAINT)
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
    if len(rows):
        figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure
