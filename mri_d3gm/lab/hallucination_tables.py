"""Tables, chart and pictures of what reconstructions lose and invent."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

import numpy as np

from mri_d3gm.io.atomic import write_text
from mri_d3gm.io.preview import write_grid
from mri_d3gm.lab.charts import write_curves
from mri_d3gm.metrics.lesions import Centre
from mri_d3gm.metrics.table import Row, groups, to_csv, to_markdown

CROP = 64  # pixels of a slice that a picture shows around its place


class Shown(NamedTuple):
    """A place to show: how bad it is, its row in a table, and pictures (CROP, CROP) around it by title."""

    badness: float
    row: Row
    pictures: dict[str, np.ndarray]


def write_results(
    lesions: list[Row], inventions: list[Row], sfrc: list[Row], shown: dict[str, list[Shown]], output: Path
) -> list[Row]:
    """The table of detection, after all is written to the folder `output`.

    hallucinations.csv has a row for each lesion, inventions.csv for each slice and radius, sfrc.csv for each slice;
    hallucinations.md their tables, hallucinations.png detection against size. shown: NAME.png by name, of each method the
    worst.
    """
    for name, rows in (("hallucinations", lesions), ("inventions", inventions), ("sfrc", sfrc)):
        write_text(output / f"{name}.csv", to_csv(rows))
    detection = detection_table(lesions)
    titles = {
        "Lesions detected, and the share of their contrast that is kept, by radius in pixels": detection,
        "Places without contrast where some is invented, and its 95th percentile over the smallest contrast": (
            invention_table(inventions)
        ),
        "Patches that sFRC flags": sfrc_table(sfrc, lesions),
    }
    text = (f"## {title}\n\n{to_markdown(table)}" for title, table in titles.items())
    write_text(output / "hallucinations.md", "\n".join(text))
    points = [row | {"contrast": abs(row["contrast"])} for row in lesions]
    curve = [
        key | {"detected": mean(row["detected"] for row in rows)}
        for key, rows in groups(points, ("accel", "method", "contrast", "radius"))
    ]
    write_curves(curve, output / "hallucinations.png", ("radius", "detected"), "accel", "contrast")
    for name, every in shown.items():
        write_worst(every, output / f"{name}.png", name.replace("_", " "))
    return detection


def detection_table(lesions: list[Row]) -> list[Row]:
    """Acceleration x method x contrast: lesions, and by radius how many are detected and the mean share that is kept."""
    table = []
    for key, rows in groups(lesions, ("accel", "method", "contrast")):
        line = key | {"lesions": len(rows)}
        for of, members in groups(rows, ["radius"]):
            found, kept = (mean(float(row[name]) for row in members) for name in ("detected", "kept"))
            line[f"{of['radius']:g}"] = f"{100 * found:.0f} % ({kept:.2f})"
        table.append(line)
    return table


def invention_table(inventions: list[Row]) -> list[Row]:
    """Acceleration x method: by radius the rate of places that would count as a lesion, and the 95th percentile, means over
    slices.
    """
    table = []
    for key, rows in groups(inventions, ("accel", "method")):
        line = key | {"slices": len({(row["file"], row["slice"]) for row in rows})}
        for of, members in groups(rows, ["radius"]):
            rate, top = (mean(row[name] for row in members) for name in ("rate", "p95"))
            line[f"{of['radius']:g}"] = f"{100 * rate:.1f} % ({top:.2f})"
        table.append(line)
    return table


def sfrc_table(sfrc: list[Row], lesions: list[Row]) -> list[Row]:
    """Acceleration x method: the rate of flagged patches, mean and highest of a slice, the median cut-off, and how many of the
    missed and of the detected lesions have a patch around them that is flagged.
    """
    table = []
    for key, rows in groups(sfrc, ("accel", "method")):
        rates = [row["flagged"] / row["patches"] for row in rows if row["patches"]]
        if not rates:
            continue
        line = key | {"slices": len(rates), "patches": sum(row["patches"] for row in rows)}
        line |= {"flagged": f"{100 * mean(rates):.1f} %", "highest": f"{100 * max(rates):.1f} %"}
        line["median cut-off"] = f"{median(row['median_cutoff'] for row in rows if row['patches']):.3f}"
        for name, asked in (("missed lesions", False), ("detected lesions", True)):
            same = [row for row in lesions if row["detected"] is asked and key.items() <= row.items()]
            line[name] = f"{100 * mean(row['flagged'] for row in same):.0f} % of {len(same)}" if same else "none"
        table.append(line)
    return table


def write_worst(every: Sequence[Shown], path: Path, title: str) -> None:
    """PNG of the worst place of each method, in the middle of a part of its slice; nothing without any."""
    worst: dict[str, Shown] = {}
    for shown in every:
        name = shown.row["method"]
        if name not in worst or shown.badness > worst[name].badness:
            worst[name] = shown
    if not worst:
        return
    rows, said = {}, []
    for name, shown in worst.items():
        row = shown.row
        what = f"contrast {row['contrast']:+g}, kept {row['kept']:.2f}" if "kept" in row else f"invents {row['invented']:g}"
        said.append(f"{name}: {row['file']} slice {row['slice']}, {row['accel']:g}x, radius {row['radius']:g}, {what}")
        white = float(np.percentile(shown.pictures["reference"], 99.5)) or 1.0
        rows[name] = [picture / white for picture in shown.pictures.values()]
    columns = list(next(iter(worst.values())).pictures)
    write_grid(path, rows, columns, f"{title}, in the middle of each picture. {'; '.join(said)}", width=240)


def cut(picture: np.ndarray, centre: Centre) -> np.ndarray:
    """CROP x CROP pixels around a place, zero beyond the picture."""
    half = CROP // 2
    return np.pad(picture, half)[centre[0] : centre[0] + CROP, centre[1] : centre[1] + CROP]
