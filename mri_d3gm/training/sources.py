"""What a training draws from: slices of volumes and fastMRI files, and photographs, below a folder."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mri_d3gm.errors import InputError, unknown
from mri_d3gm.io.image import first_frame, reading, slice_axis
from mri_d3gm.io.images.pictures import read_picture
from mri_d3gm.io.open_image import image_endings, open_image
from mri_d3gm.io.open_scan import open_scan, scan_endings
from mri_d3gm.physics.fft import fft2c, ifft2c


def as_list(value: Any) -> list[Any]:
    """One or several values of a key, as a list."""
    return list(value) if isinstance(value, list | tuple) else [value]


def _pair(value: Any, *kinds: type) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(part, kinds) for part in value)


def _globs(value: Any) -> bool:
    return all(isinstance(glob, str) and glob and not Path(glob).is_absolute() for glob in as_list(value))


GLOBS = _globs, "a glob, or several, relative to --data"
COUNT = lambda value: isinstance(value, int) and value > 0, "a whole number above 0"
RUN = 2**17  # pixels that are summed at once
ENDING = re.compile(r"(\.[A-Za-z0-9]+)+$")
DOMAIN = ("domain", "degrade", "operator", "accel", "axes")  # what else an entry to measure on may say
# what the keys of a source may hold
KEYS: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("glob", "exclude"), GLOBS),
    **dict.fromkeys(("first", "last", "central", "max_size"), COUNT),
    "split": (lambda value: _pair(value, int, float) and 0 <= value[0] <= value[1] <= 1, "[from, to] within [0, 1]"),
    "target": (lambda value: _pair(value, str), "[regular expression, replacement]"),
    "weight": (lambda value: isinstance(value, int | float) and value >= 0, "a number, at least 0"),
    "optional": (lambda value: isinstance(value, bool), "true or false"),
}


@dataclass(frozen=True)
class Example:
    """One image and how often it is drawn relative to others: a magnitude (rows, cols) whose 99.5th percentile is 1, or a
    photograph (3, rows, cols) in [0, 1], with its really degraded counterpart where there is one.
    """

    image: Tensor
    weight: float
    name: str
    degraded: Tensor | None = None


def _volume(path: Path) -> np.ndarray:
    """Magnitudes (slices, rows, cols) float32 of one file."""
    if path.is_dir() or path.name.lower().endswith(image_endings()):
        volume = open_image(path)
        return np.moveaxis(first_frame(volume.array), slice_axis(volume), 0)
    if path.suffix.lower() in scan_endings():
        from mri_d3gm.io.scan import read_reference

        scan = open_scan(path)
        references = [read_reference(scan, index) for index in range(scan.slices)]
        if any(reference is None for reference in references):
            raise InputError(f"{path}: no fully sampled reference to train on; leave undersampled files out")
        return np.stack([reference for reference in references if reference is not None])
    from PIL import Image

    with reading(path, "is no image that can be read"):
        picture = Image.open(path)
        return np.asarray(picture if picture.mode.startswith("I") else picture.convert("L"), np.float32)[None]


def limit_band(image: Tensor, size: int) -> Tensor:
    """Keep the central `size` x `size` of k-space, for pictures that a scanner interpolated."""
    kspace = fft2c(image.to(torch.complex64))
    start = [max(0, (n - size) // 2) for n in image.shape]
    kept = kspace[start[0] : start[0] + size, start[1] : start[1] + size]
    return ifft2c(kept).abs()


def digest(slices: Sequence[Example]) -> str:
    """Of all pixels: a sum with random weights, to five digits, so that the rounding of another machine hardly ever shows.

    Runs of pixels share their weights, but for a sign and a factor: it is seen where two change places, and sums stay small.
    """
    weights, chance = torch.randn(RUN, generator=torch.Generator().manual_seed(0)).double(), Random(0)
    images = (image for item in slices for image in (item.image, item.degraded) if image is not None)
    runs = (run for image in images for run in image.flatten().split(RUN))
    factors = (chance.uniform(1, 2) * chance.choice((-1, 1)) for _ in count())
    total = sum(factor * float(run.double() @ weights[: len(run)]) for run, factor in zip(runs, factors, strict=False))
    return f"{total:.5g}"


def check_source(source: Mapping[str, Any]) -> None:
    """InputError for a source that is none, has a key that none has, or a value that its key cannot have."""
    if not isinstance(source, Mapping) or "glob" not in source:
        raise InputError(f"a source needs a glob, and {source} has none")
    for key in source.keys() - KEYS.keys() - set(DOMAIN):
        raise unknown(str(key), KEYS, "key of a source ")
    for key, (fits, needed) in KEYS.items():
        if key in source and not fits(source[key]):
            raise InputError(f"{key} of a source must be {needed}, not {source[key]!r}; see docs/training.md")


def _either_case(ending: re.Match[str]) -> str:
    return re.sub("[A-Za-z]", lambda letter: f"[{letter[0].lower()}{letter[0].upper()}]", ending[0])


def _hidden(part: str) -> bool:
    return part.startswith(".") and part != ".."


def matches(data: Path, globs: str | Sequence[str]) -> set[Path]:
    """Files and folders below `data` that one or several globs find, whichever the case of their endings, but for hidden ones
    and those in hidden folders; InputError for what is no glob.
    """
    try:
        found = {path for glob in as_list(globs) for path in data.glob(ENDING.sub(_either_case, glob))}
        return {path for path in found if not any(map(_hidden, path.relative_to(data).parts))}
    except ValueError as error:
        raise InputError(f"{globs}: no glob: {error}; see docs/training.md") from error


def select_files(data: Path, source: dict[str, Any]) -> list[Path]:
    """Files below `data` of a source {glob: one or several, exclude?: globs, split?: [from, to], first?: count, last?: count,
    optional?: bool}, sorted.

    split: that part of the files in an order shuffled by a fixed seed, so that [0, 0.7], [0.7, 0.8] and [0.8, 1] are disjoint.
    InputError where nothing is left, unless it is optional.
    """
    check_source(source)
    found = sorted(matches(data, source["glob"]) - matches(data, source.get("exclude", [])))
    globs, paths = ", ".join(as_list(source["glob"])), found
    if "split" in source:
        order = np.random.default_rng(0).permutation(len(paths))
        first, end = (round(part * len(paths)) for part in source["split"])
        paths = [paths[index] for index in sorted(order[first:end])]
    paths = paths[: source.get("first", len(paths))][-source.get("last", len(paths)) :]
    if paths or source.get("optional"):
        return paths
    if not found:
        raise InputError(f"{data}: nothing matches {globs}; --data must be the folder it is relative to")
    raise InputError(f"{data}: {globs} matches too few files for the part {source.get('split')}")


def load_slices(data: Path, sources: list[dict[str, Any]]) -> list[Example]:
    """All slices of `sources` below the folder `data`: what `select_files` takes and {weight?, max_size?, central?: count}.

    Slices that are nearly empty are left out; central keeps that many around the middle. weight is per file of a source: a
    slice gets weight / slices^(1/2). InputError where there are slices and all are left out.
    """
    slices: list[Example] = []
    seen = 0
    for source in sources:
        for path in select_files(data, source):
            volume = _volume(path)
            start = max(0, len(volume) - source.get("central", len(volume))) // 2
            volume = volume[start : start + source.get("central", len(volume))]
            seen += len(volume)
            peak = float(np.percentile(volume, 99.5))
            kept = [index for index in range(len(volume)) if (volume[index] > 0.1 * peak).mean() > 0.05]
            for index in kept:
                image = torch.from_numpy(np.ascontiguousarray(volume[index]))
                if "max_size" in source:
                    image = limit_band(image, source["max_size"])
                level = float(np.percentile(image.numpy(), 99.5))
                if level > 0:
                    weight = source.get("weight", 1.0) / len(kept) ** 0.5
                    slices.append(Example(image / level, weight, f"{path.name}:{index}"))
    if seen and not slices:
        raise InputError(
            f"{data}: none of the {seen} slices of {len(sources)} sources can be trained on: a twentieth of the pixels must be "
            "above a tenth of the volume's 99.5th percentile, which must be positive"
        )
    return slices


def target_of(path: Path, source: dict[str, Any]) -> Path:
    """The clean picture of a degraded one: its path with source's target, [regular expression, replacement], applied.

    The expression sees the folder and the name. InputError where that file is missing, or the expression is none.
    """
    try:
        pattern, replacement = source["target"]
        target = path.parent.parent / re.sub(pattern, replacement, f"{path.parent.name}/{path.name}")
    except (re.error, IndexError) as error:
        raise InputError(f"target {source['target']}: no regular expression and its replacement: {error}") from error
    if not target.is_file() or target == path:
        raise InputError(f"{path}: no clean picture {target} next to it; see the protocol's target")
    return target


def load_pictures(data: Path, sources: list[dict[str, Any]]) -> list[Example]:
    """All photographs of `sources` below the folder `data`, as `select_files` takes them, with their weight.

    A source with `target` (see `target_of`) names degraded pictures; the clean ones are then the images.
    """

    def colour(path: Path) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(read_picture(path).array.transpose(2, 0, 1))).expand(3, -1, -1)

    pictures = []
    for source in sources:
        for path in select_files(data, source):
            weight = source.get("weight", 1.0)
            if "target" in source:
                pictures.append(Example(colour(target_of(path, source)), weight, path.name, colour(path)))
            else:
                pictures.append(Example(colour(path), weight, path.name))
    return pictures
