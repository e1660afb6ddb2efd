"""A result as one HTML page that opens from disk: linked views of its volumes, a strip of its slices, how it was made."""

import base64
import gzip
import html
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mri_d3gm.io import report_text
from mri_d3gm.io.atomic import atomic_path
from mri_d3gm.io.image import with_frames
from mri_d3gm.io.images.nifti import set_grid
from mri_d3gm.io.preview import gain_of, preview, upright, white_of
from mri_d3gm.shipped import shipped

if TYPE_CHECKING:
    from PIL.Image import Image

LIMIT, MARGIN = 15e6, 4000  # bytes of a page, and of its template
LEVELS = (4096, 1024, 256)  # of the grey values of images, the finest that fits
STD_LEVELS = 128  # of the std map
MAPS = ("std", "error")  # the page makes the error out of result and reference
PICTURES = 3
PROBE = 8  # images that are packed to learn how many fit


class Volumes(NamedTuple):
    """Arrays by role (result, plain, reference, std, error), each (i, j, slices, frames), and the affine of (i, j, slice)."""

    arrays: dict[str, np.ndarray]
    affine: np.ndarray

    def embedded(self) -> dict[str, np.ndarray]:
        """Those that the page holds."""
        return {role: array for role, array in self.arrays.items() if role != "error"}


class Kept(NamedTuple):
    """What is embedded: slices and frames of those there are, and the levels of grey."""

    slices: range
    frames: range
    levels: int


def write_report(
    path: str | Path,
    record: dict[str, Any],
    arrays: dict[str, np.ndarray],
    affine: np.ndarray,
    *,
    axis: int = 2,
    sides_known: bool,
    limit: float = LIMIT,
) -> None:
    """Write the page of a result, whole or not at all.

    record: the sidecar's. arrays: by role, result and, where they are known, plain (without AI), reference and std, each
    (i, j, k[, t]) on the grid of affine, slices along `axis`. sides_known: whether the affine is the patient's. Images are
    quantised to 4096 grey levels, fewer where the page would grow beyond `limit` bytes; where that is not enough, slices and
    frames are left out evenly. The page says so. One slice is the least. InputError where it cannot be written.
    """
    volumes = _volumes(arrays, affine, axis)
    parts = {name: _printable(text) for name, text in _parts(record, volumes, sides_known).items()}
    parts["facts"] = embedded_json(_facts(record, volumes, _whole(volumes), sides_known))
    budget = limit - MARGIN - sum(len(text.encode()) for text in parts.values())
    kept = _fitting(volumes, budget)
    packed = _packed(volumes, kept, sides_known)
    while sum(map(len, packed.values())) > budget and len(kept.slices) * len(kept.frames) > 1:
        kept = _thinner(kept, volumes, len(kept.slices) * len(kept.frames) - 1)
        packed = _packed(volumes, kept, sides_known)
    parts["facts"] = embedded_json(_facts(record, volumes, kept, sides_known))
    parts["volumes"] = "\n".join(
        f'<script type="application/octet-stream" id="volume-{role}">{text}</script>' for role, text in packed.items()
    )
    parts["text"] = parts["text"].replace("<!-- kept -->", html.escape(_said_of(kept, volumes)))
    with atomic_path(path) as temporary:
        temporary.write_text(page(parts), encoding="utf-8")


def page(parts: dict[str, str]) -> str:
    """The shipped page with its marks replaced, each once, so that nothing that is put in is read as a mark."""
    template = shipped("report", "page.html").read_text("utf-8")
    return re.sub("<!-- (\\w+) -->", lambda mark: parts[mark[1]], template)


def embedded_json(value: Any) -> str:
    """JSON that cannot end the element that it stands in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _volumes(arrays: dict[str, np.ndarray], affine: np.ndarray, axis: int) -> Volumes:
    """Slices to the third axis, frames to the fourth; the error where there is a reference; no plain that is the result."""
    order = [*(other for other in range(3) if other != axis), axis]
    moved = {role: np.moveaxis(with_frames(array), axis, 2) for role, array in arrays.items()}
    if "plain" in moved and np.array_equal(moved["plain"], moved["result"]):
        del moved["plain"]
    if "reference" in moved:
        moved["error"] = np.abs(moved["result"] - moved["reference"])
    roles = ("result", "plain", "std", "reference", "error")
    return Volumes({role: moved[role] for role in roles if role in moved}, affine[:, [*order, 3]])


def _printable(text: str) -> str:
    """The same with what is no UTF-8 in the name of a file as a code."""
    return text.encode("utf-8", "backslashreplace").decode()


def _parts(record: dict[str, Any], volumes: Volumes, sides_known: bool) -> dict[str, str]:
    """All of the page but its volumes and facts, by the marks of the template."""
    file, kind = html.escape(record["Input"]["File"]), html.escape(report_text.kind(record))
    files = {"style": "page.css", "script": "page.js", "licence": "LICENSE", "niivue": "niivue.umd.js"}
    own = {mark: shipped("report", name).read_text("utf-8") for mark, name in files.items()}
    pictures = "\n".join(
        f'<figure><img alt="slice {number}" src="data:image/png;base64,{_png(picture)}"></figure>'
        for number, picture in _pictures(record, volumes, sides_known)
    )
    return own | {
        "title": f"{file} · research only, not for diagnosis",
        "file": file,
        "kind": kind,
        "text": _text(record, sides_known),
        "pictures": pictures,
    }


def _text(record: dict[str, Any], sides_known: bool) -> str:
    """The column of words."""
    said, beware = report_text.sentences(record, sides_known)
    flags = report_text.flagged(record["PerSlice"])
    doubts = [f"<li>{html.escape(text)}</li>" for text in beware]
    notes: list[str] = []
    for flag, places in flags.items():
        line = f'<li>{html.escape(report_text.FLAGS[flag])} <span class="places" data-places="{embedded_json(places)}">'
        line += f"{html.escape(_listed(record, places))}</span></li>"
        (notes if flag in report_text.NOTES else doubts).append(line)
    technical = "".join(f"<li>{html.escape(text)}</li>" for text in record["Warnings"])
    rows = "".join(
        f'<tr><th>{html.escape(name)}</th><td title="{html.escape(text)}">{html.escape(text)}</td></tr>'
        for name, text in report_text.provenance(record)
    )
    return "\n".join(
        [
            f'<section id="said">{"".join(f"<p>{html.escape(text)}</p>" for text in said)}</section>',
            f'<section id="beware"><h2>Beware</h2><ul>{"".join(doubts)}</ul></section>' if doubts else "",
            '<section id="slice" hidden></section>',
            f'<section id="notes"><h2>Notes</h2><ul>{"".join(notes)}</ul></section>' if notes else "",
            f'<section><h2>Log</h2><ul class="log">{technical}</ul></section>' if technical else "",
            f'<section><h2>How it was made</h2><table class="made">{rows}</table><p class="small"><!-- kept --></p></section>',
        ]
    )


def _listed(record: dict[str, Any], places: list[int]) -> str:
    """Slices by their numbers in the file, frames before them; neighbours joined."""
    every = record["PerSlice"]
    if len(places) == len(every):
        return "All slices."
    if any("Frame" in one for one in every):
        names = [f"{every[place].get('Frame', 0)}/{every[place]['Slice']}" for place in places]
        return f"Frame/slice {', '.join(names[:12])}{' …' if len(names) > 12 else ''}."
    runs: list[list[int]] = []
    for place in places:
        if runs and runs[-1][-1] == place - 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    ends = [(every[run[0]]["Slice"], every[run[-1]]["Slice"]) for run in runs]
    names = [str(first) if first == last else f"{first}–{last}" for first, last in ends]
    return f"Slice{'s' if len(places) > 1 else ''} {', '.join(names)}."


def _facts(record: dict[str, Any], volumes: Volumes, kept: Kept, sides_known: bool) -> dict[str, Any]:
    """What the page's script needs, and no more."""
    white = white_of([volumes.arrays[role] for role in ("result", "reference") if role in volumes.arrays])
    gain = min((gain_of(array, white) for role, array in volumes.arrays.items() if role in MAPS), default=1.0)
    names, affine = report_text.names(record), _kept_affine(volumes, kept)
    shown = ("Slice", "Frame", "CoilMaps", "Light", "Flags")
    return {
        "views": [{"role": role, "name": names[role], "map": role in MAPS} for role in volumes.arrays],
        "ai": record["Weights"] is not None,
        "white": white,
        "gain": gain,
        "affine": affine.tolist(),
        "inverse": np.linalg.inv(affine).tolist(),
        "sidesKnown": sides_known,
        "slices": [{name: one[name] for name in shown if name in one} for one in record["PerSlice"]],
        "count": volumes.arrays["result"].shape[2],
        "keptSlices": list(kept.slices),
        "keptFrames": list(kept.frames),
        "lanes": report_text.lanes(record["PerSlice"]),
        "flags": {flag: text for flag, text in report_text.FLAGS.items()},
        "notes": report_text.NOTES,
    }


def _kept_affine(volumes: Volumes, kept: Kept) -> np.ndarray:
    affine = volumes.affine.copy()
    affine[:, 2] *= kept.slices.step
    return affine


def _said_of(kept: Kept, volumes: Volumes) -> str:
    """What became of the values on this page, in a sentence or two."""
    slices, frames = volumes.arrays["result"].shape[2:]
    text = (
        f"Values on this page are rounded to {kept.levels} levels, the std map's to {STD_LEVELS}; the NIfTI has them in full."
    )
    counts = ((kept.slices, slices, "slices"), (kept.frames, frames, "frames"))
    left = [f"{len(part)} of {total} {name}" for part, total, name in counts if len(part) < total]
    return text + (f" To keep the page small it holds {' and '.join(left)}." if left else "")


def _whole(volumes: Volumes) -> Kept:
    slices, frames = volumes.arrays["result"].shape[2:]
    return Kept(range(slices), range(frames), LEVELS[0])


def _fitting(volumes: Volumes, budget: float) -> Kept:
    """The finest levels at which all images fit into `budget` bytes, estimated from some; else fewer images."""
    whole = _whole(volumes)
    some, images = _thinner(whole, volumes, PROBE), len(whole.slices) * len(whole.frames)
    share = len(some.slices) * len(some.frames) / images
    for levels in LEVELS:
        tried = some._replace(levels=levels)
        bits = [_integers(role, array, tried)[0].tobytes("F") for role, array in volumes.embedded().items()]
        size = sum(len(gzip.compress(one)) for one in bits) * 4 / 3 / share
        if size <= budget:
            return whole._replace(levels=levels)
    return _thinner(whole._replace(levels=LEVELS[-1]), volumes, int(images * max(budget, 0) / size))


def _thinner(kept: Kept, volumes: Volumes, images: int) -> Kept:
    """Every second, third, ... slice or frame, of what is longer, until there are no more than `images`, or one."""
    slices, frames = volumes.arrays["result"].shape[2:]
    while len(kept.slices) * len(kept.frames) > max(images, 1):
        if len(kept.frames) >= len(kept.slices):
            kept = kept._replace(frames=range(0, frames, kept.frames.step + 1))
        else:
            kept = kept._replace(slices=range(0, slices, kept.slices.step + 1))
    return kept


def quantised(array: np.ndarray, levels: int) -> tuple[np.ndarray, float, float]:
    """Integers, slope and intercept: slope * integer + intercept is the array to half a slope."""
    low, high = min(float(array.min()), 0.0), max(float(array.max()), 0.0)
    slope = (high - low) / (levels - 1) or 1.0
    return np.rint((array - low) / slope).astype(np.uint8 if levels <= 256 else np.int16), slope, low


def _integers(role: str, array: np.ndarray, kept: Kept) -> tuple[np.ndarray, float, float]:
    """What is kept of a volume, quantised."""
    chosen = array[:, :, :: kept.slices.step, :: kept.frames.step]
    return quantised(chosen, STD_LEVELS if role == "std" else kept.levels)


def _packed(volumes: Volumes, kept: Kept, sides_known: bool) -> dict[str, str]:
    """Volumes as base64 of compressed NIfTI, by role."""
    import nibabel

    affine, found = _kept_affine(volumes, kept), {}
    for role, array in volumes.embedded().items():
        integers, slope, intercept = _integers(role, array, kept)
        made = nibabel.Nifti1Image(integers if integers.shape[3] > 1 else integers[..., 0], affine)
        set_grid(made, affine, 1 if sides_known else 2, None)
        made.header.set_slope_inter(slope, intercept)
        found[role] = base64.b64encode(gzip.compress(made.to_bytes(), mtime=0)).decode("ascii")
    return found


def _pictures(record: dict[str, Any], volumes: Volumes, sides_known: bool) -> "Iterator[tuple[int, Image]]":
    """Numbers and previews of a few slices of the middle frame that are not empty."""
    names = report_text.names(record)
    frame = volumes.arrays["result"].shape[3] // 2
    filled = np.flatnonzero(volumes.arrays["result"][..., frame].any((0, 1)))
    steps = np.rint(np.linspace(0, len(filled) - 1, PICTURES + 2)[1:-1]).astype(int)
    places = filled[steps] if len(filled) else [0]
    sides = "" if sides_known else "left/right unknown; "
    for place in dict.fromkeys(map(int, places)):
        number = record["PerSlice"][place]["Slice"]
        order = [role for role in ("plain", "result", "reference", *MAPS) if role in volumes.arrays]
        panels = {role if role in MAPS else names[role]: volumes.arrays[role][:, :, place, frame] for role in order}
        shown, spacing = upright(panels, volumes.affine[:3, :2])
        yield number, preview(shown, f"slice {number}", spacing, f"{sides}research only, not for diagnosis")


def _png(picture: "Image") -> str:
    buffer = io.BytesIO()
    picture.thumbnail((1000, 1000))
    picture.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
