"""The bound on the error that ships beside the weights: evidence of slices with a reference, the fit, and what it covers.

Usage: python scripts/bound.py rows FOLDER ROWS.jsonl           (hours; goes on where it was stopped)
       python scripts/bound.py fit ROWS.jsonl SUBJECTS.tsv BOUND.json
       python scripts/bound.py cover ROWS.jsonl SUBJECTS.tsv BOUND.json

FOLDER holds fully sampled .h5 files (scripts/bound_cases.py). Each is reconstructed at two accelerations that its name draws.
SUBJECTS.tsv has the columns prefix (of file names), subject, organ, role: `calibrate`, `test`, `outside` for organs that
training never saw, `trained` for people that it saw, who are left out. `fit` finds bounds on the first; `cover` measures
those of a file on the second and third, as Markdown.
"""

import argparse
import csv
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mri_d3gm import pipeline
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.metrics.bound import Bound, Evidence, fit, known_kind, light, together, upper
from mri_d3gm.metrics.table import to_markdown
from mri_d3gm.networks.files import weights_files
from mri_d3gm.runs.model import load
from mri_d3gm.runs.record import files_hash, weights_file
from mri_d3gm.settings import Recon
from mri_d3gm.tasks.recon import reconstruct_slice

ACCELS = (2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
Row = dict[str, Any]


def rms(image: np.ndarray) -> float:
    return float(np.sqrt(np.mean(image.astype(np.float64) ** 2)))


def rows_of(file: Path, accel: float, axis: str, seed: int) -> Iterator[Row]:
    """Evidence and error of every slice with signal."""
    scan, settings = open_scan(file), Recon(accel=accel, axis=axis, seed=seed)
    mask, _ = pipeline.sampling(scan, settings)
    for index in range(scan.slices):
        one = reconstruct_slice(scan, index, mask, settings, load(settings))
        if one.facts is None or one.facts["evidence"] is None or one.reference is None:
            continue
        error = rms(one.image.astype(np.float64) - one.reference)
        known = {"file": file.name, "accel": accel, "slice": index, "coils": scan.coils, "smooth": one.facts["smooth"]}
        known |= {"error": error, "reference": rms(one.reference), "image": rms(one.image)}
        yield known | one.facts["evidence"]._asdict()


def collect(folder: Path, target: Path) -> None:
    """Add to the rows what they lack."""
    done = {(row["file"], row["accel"]) for row in read_rows(target)} if target.exists() else set()
    for file in sorted(folder.glob("*.h5"), key=lambda file: zlib.crc32(file.name.encode())):
        rng = np.random.default_rng(zlib.crc32(file.name.encode()))
        for accel in sorted(rng.choice(ACCELS, 2, replace=False).tolist()):
            axis, seed = ("phase", "readout")[int(rng.random() < 0.3)], int(rng.integers(1000))
            if (file.name, accel) not in done:
                with target.open("a") as out:
                    out.writelines(json.dumps(row) + "\n" for row in rows_of(file, accel, axis, seed))


def read_rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def known_of(rows: list[Row], subjects: Path) -> list[Row]:
    """Rows with subject, organ and role, of the longest prefix that fits; others are left out."""
    with subjects.open() as file:
        table = sorted(csv.DictReader(file, delimiter="\t"), key=lambda line: -len(line["prefix"]))
    found = []
    for row in rows:
        line = next((line for line in table if row["file"].startswith(line["prefix"])), None)
        if line is not None:
            found.append(row | {name: line[name] for name in ("subject", "organ", "role")})
    return found


def evidence_of(row: Row) -> Evidence:
    return Evidence(*(row[name] for name in Evidence._fields))


def volumes(rows: list[Row]) -> list[Row]:
    """The rows of each scan as one."""
    scans: dict[tuple[str, float], list[Row]] = {}
    for row in rows:
        scans.setdefault((row["file"], row["accel"]), []).append(row)
    whole = []
    for slices in scans.values():
        evidence = together([evidence_of(row) for row in slices], [row["image"] for row in slices])
        sizes = {name: float(np.sqrt(np.mean([row[name] ** 2 for row in slices]))) for name in ("error", "reference", "image")}
        whole.append(slices[0] | evidence._asdict() | sizes)
    return whole


Bounds = dict[str, Bound]  # of scans of one coil, and of several


def coil_kind(row: Row) -> str:
    return "one" if row["coils"] == 1 else "several"


def fitted(rows: list[Row]) -> Bound:
    evidence = np.array([evidence_of(row) for row in rows])
    errors = np.array([row["error"] / row["reference"] for row in rows])
    return fit(evidence, errors, np.array([row["subject"] for row in rows]))


def covered(rows: list[Row], bounds: Bounds) -> Row:
    """How many errors lie below the bound, by slice and by subject, with a standard error over subjects."""
    inside = np.array([row["error"] / row["reference"] <= upper(bounds[coil_kind(row)], evidence_of(row)) for row in rows])
    subjects = np.array([row["subject"] for row in rows])
    each = np.array([inside[subjects == name].mean() for name in np.unique(subjects)])
    ratio = [upper(bounds[coil_kind(row)], evidence_of(row)) * row["reference"] / row["error"] for row in rows]
    spread = each.std(ddof=1) / np.sqrt(len(each)) if len(each) > 1 else float("nan")
    return {
        "subjects": len(each),
        "images": len(rows),
        "covered": round(float(inside.mean()), 3),
        "mean of subjects": f"{each.mean():.3f} ± {spread:.3f}",
        "bound over error, median": round(float(np.median(ratio)), 2),
    }


GROUPS: dict[str, Callable[[Row], str]] = {
    "": lambda row: row["organ"],
    "R": lambda row: "2 to 4" if row["accel"] <= 4 else "6 and 8" if row["accel"] <= 8 else "12 and 16",
    "coils": lambda row: "one" if row["coils"] == 1 else "2 to 8" if row["coils"] <= 8 else "more",
    "phase": lambda row: "smooth" if row["smooth"] else "rough",
}


def coverage(kind: str, rows: list[Row], bounds: Bounds) -> list[Row]:
    """A line for all rows, and for each group of them."""
    table = [{"of": kind, "group": "all"} | covered(rows, bounds)]
    for name, of in GROUPS.items():
        for value in sorted({of(row) for row in rows}):
            group = f"{name} {value}".strip()
            table.append({"of": kind, "group": group} | covered([row for row in rows if of(row) == value], bounds))
    return table


def confusion(rows: list[Row], bounds: Bounds) -> list[Row]:
    """Lights against errors: the worst tenth, the rest, and what is outside of what training saw."""
    errors = [row["error"] / row["reference"] for row in rows if row["role"] != "outside"]
    worst = float(np.quantile(errors, 0.9))
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        of = "the rest" if row["error"] / row["reference"] <= worst else f"worst tenth (error above {worst:.3f})"
        kinds.setdefault(f"outside: {row['organ']}" if row["role"] == "outside" else of, []).append(row)
    table = []
    for name, some in sorted(kinds.items()):
        lights = [light(bounds[coil_kind(row)], evidence_of(row)) for row in some]
        found = [row["error"] / row["reference"] for row, colour in zip(some, lights, strict=True) if colour == "green"]
        counts = {colour: lights.count(colour) for colour in ("green", "amber", "red")}
        new = sum(not known_kind(bounds[coil_kind(row)], evidence_of(row)) for row in some)
        greatest = round(max(found), 3) if found else None
        table.append({"slices": name, "of": len(some), **counts, "greatest error in green": greatest, "evidence is new": new})
    return table


def fitted_bounds(rows: list[Row]) -> dict[str, Any]:
    """What ships: bounds of scans of one coil and of several, found on the subjects to calibrate, and of which weights."""
    found: dict[str, Any] = {"weights": [files_hash([file]) for file in weights_files(weights_file(Recon()))]}
    for kind in ("one", "several"):
        own = [row for row in rows if row["role"] == "calibrate" and coil_kind(row) == kind]
        found[kind] = {"slice": fitted(own)._asdict(), "scan": fitted(volumes(own))._asdict()}
    return found


def tables(rows: list[Row], stored: dict[str, Any]) -> str:
    """How often the bounds of a file hold, and the lights."""
    slices, scans = ({kind: Bound(**stored[kind][of]) for kind in ("one", "several")} for of in ("slice", "scan"))
    tested, outside = ([row for row in rows if row["role"] == role] for role in ("test", "outside"))
    lines = coverage("slices", tested, slices)
    lines += [{"of": "volumes", "group": "all"} | covered(volumes(tested), scans)]
    lines += coverage("slices, outside", outside, slices) if outside else []
    return to_markdown(lines) + "\n" + to_markdown(confusion(tested + outside, slices))


def main() -> None:
    """Rows, a bound, or what it covers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("rows", "fit", "cover"))
    parser.add_argument("source", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("bound", type=Path, nargs="?")
    arguments = parser.parse_args()
    if arguments.what == "rows":
        collect(arguments.source, arguments.second)
        return
    rows = known_of(read_rows(arguments.source), arguments.second)
    if arguments.what == "fit":
        arguments.bound.write_text(json.dumps(fitted_bounds(rows), indent=1) + "\n")
    else:
        print(tables(rows, json.loads(arguments.bound.read_text())))


if __name__ == "__main__":
    main()
