"""Names of what a run writes, none of which two inputs, or two tasks on one input, share."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from mri_d3gm.errors import InputError
from mri_d3gm.io.arrays.bart_cfl import HEADER_ENDING
from mri_d3gm.io.atomic import remove, set_aside
from mri_d3gm.io.images.pictures import FORMATS
from mri_d3gm.io.open_image import image_endings
from mri_d3gm.io.open_scan import scan_endings
from mri_d3gm.io.save_image import WRITERS

# of files that are not written, which nobody means for a folder
OTHERS = (".json", ".html", ".txt", ".gz", ".bmp", ".gif", ".heic", ".heif", ".avif", ".jp2", ".jfif", ".tga", ".ppm")
DESC = "_desc-"  # the entity of BIDS that tells derivatives of one input apart


def told_apart(paths: Sequence[str | Path]) -> list[str]:
    """The shortest ends of different paths, whole names of folders and files, that no other of them ends in."""
    parts = [Path(path).parts for path in paths]
    ends = [[Path(*own[-length:]).as_posix() for length in range(1, len(own) + 1)] for own in parts]
    taken = Counter(end for own in ends for end in own)
    return [next((end for end in own if taken[end] == 1), own[-1]) for own in ends]


class Outputs(NamedTuple):
    """Names of one run's files, and of its DICOM folder; the first is the result, those None that the task does not write."""

    result: Path
    sidecar: Path
    std: Path | None = None
    preview: Path | None = None
    phase: Path | None = None
    report: Path | None = None
    dicom: Path | None = None

    def files(self) -> list[Path]:
        """All of them."""
        return [name for name in self if name is not None]

    def of_part(self, entities: str) -> "Outputs":
        """Those of one of several results, with BIDS entities (echo-1) in their names; the same for none."""
        if not entities:
            return self
        stem = without_ending(self.result.name).partition(DESC)[0]
        named = (None if name is None else name.with_name(f"{stem}_{entities}{name.name[len(stem) :]}") for name in self)
        return Outputs(*named)  # type: ignore[arg-type]


def volume_names(path: str | Path, output: str | Path, kind: str) -> Outputs:
    """Names for an input: a folder gets X_kind.nii.gz and so on, a name with an ending of WRITERS is taken as it is.

    Those of a BIDS derivative, X_desc-kind_suffix.nii.gz, keep its suffix last.
    """
    stem, written = volume_stem(path, output, kind)
    endings = (written, ".json", f"_std{written}", "_preview.png")
    result, sidecar, std, preview = (Path(stem + ending) for ending in endings)
    if DESC in os.path.basename(output) and DESC in result.name:
        entities, _, last = without_ending(result.name).rpartition(DESC)
        std = result.with_name(f"{entities}{DESC}{last.replace('_', 'Std_', 1)}{written}")
        preview = Path(f"{stem}.png")
    return Outputs(result, sidecar, std, preview, report=Path(f"{stem}_report.html"), dicom=Path(f"{stem}_dicom"))


def volume_stem(path: str | Path, output: str | Path, kind: str) -> tuple[str, str]:
    """The name of an input's result without its ending, and that; InputError for an output of another kind than volumes."""
    target = str(output)
    written = next((end for end in WRITERS if target.lower().endswith(end)), None)
    if written is not None:
        return target[: -len(written)], written
    if names_a_file(target):
        raise InputError(f"{output}: -o takes a folder or a name that ends in {', '.join(WRITERS)}")
    name = without_ending(os.path.basename(os.path.abspath(path)))
    return os.path.join(target, f"{name}_{kind}"), next(iter(WRITERS))


def names_a_file(output: str | Path) -> bool:
    """Whether the ending of an output is one of files, and no folder is there: `out.v2` is a folder to be made."""
    known = (*WRITERS, *FORMATS, *input_endings(), *OTHERS)
    return str(output).lower().endswith(known) and not os.path.isdir(output)


def input_endings() -> tuple[str, ...]:
    """Endings of all formats of scans and images that are read, the longest first; BART's headers stand for their data."""
    return _longest_first(image_endings(), scan_endings())


@lru_cache(maxsize=8)
def _longest_first(images: tuple[str, ...], scans: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({*images, *scans, HEADER_ENDING}, key=len, reverse=True))


def without_ending(name: str) -> str:
    """The name of a scan or volume without its ending; that of a picture as it is."""
    small = name.lower()
    endings = input_endings()
    if not small.endswith(endings):
        return name
    return name[: -len(next(end for end in endings if small.endswith(end)))] or name


def picture_names(path: str | Path, output: str | Path, endings: Sequence[str]) -> Outputs:
    """The picture to write, in a folder under the input's name or under the name given, and X.png.json next to X.png, so that
    X.png and X.jpg do not share one.
    """
    target = Path(output)
    if not str(output).lower().endswith(tuple(endings)):  # a folder's name may end in a separator
        if names_a_file(output):
            raise InputError(f"{output}: -o takes a folder or a name that ends in one of {', '.join(endings)}")
        target = target / Path(path).name
    return Outputs(target, target.with_name(f"{target.name}.json"))


def folders(files: Sequence[str], output: str) -> list[str]:
    """The output of each input: `output`, but for inputs whose results would share a name a folder below it, named as those
    that they lie in, and as their endings where they lie in one.
    """
    paths = [os.path.split(os.path.abspath(file)) for file in files]
    names = {path: without_ending(path[1]) for path in paths}
    counts = Counter(names.values())
    clashing = {path: name for path, name in names.items() if counts[name] > 1}
    if not clashing:
        return [output] * len(files)
    common = os.path.commonpath([folder for folder, _ in clashing])
    neighbours = Counter((folder, name) for (folder, _), name in clashing.items())
    places = {}
    for (folder, file), name in clashing.items():
        ending = file[len(name) :].lstrip(".") if neighbours[folder, name] > 1 else ""
        places[folder, file] = str(Path(output, os.path.relpath(folder, common), ending))
    return [places.get(path, output) for path in paths]


def check_writable(names: Outputs) -> None:
    """InputError where the files could not be written; nothing is made."""
    folder = _existing(names.result.parent)
    if not folder.is_dir():
        raise InputError(f"{names.result.parent}: cannot be made: {folder} is not a folder; choose another place")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{names.result}: cannot be written: no permission for {folder}; choose another place")
    taken = next((name for name in names.files() if name != names.dicom and name.is_dir()), None)
    if taken is not None:
        raise InputError(f"{taken}: is a folder; choose another place")
    if names.dicom is not None and names.dicom.exists():
        others = not names.dicom.is_dir() or any(file.is_file() and file.suffix != ".dcm" for file in names.dicom.rglob("*"))
        if others:
            raise InputError(f"{names.dicom}: is no folder of DICOM alone; choose another place")


@contextmanager
def whole(names: Outputs) -> Iterator[None]:
    """All files of a run or none: what the block wrote before an exception is removed, and what was there before is back."""
    make_folder(names.result)
    with set_aside(names.files()):
        try:
            yield
        except BaseException:
            for name in names.files():
                remove(name)
            raise


def _existing(folder: Path) -> Path:
    """A folder, or the nearest above it that is there; InputError where a link on the way leads nowhere."""
    while not folder.exists() and folder != folder.parent:
        if folder.is_symlink():
            raise InputError(f"{folder}: is a link to nowhere, {os.readlink(folder)}; remove it, or choose another place")
        folder = folder.parent
    return folder


def make_folder(name: Path) -> None:
    """The folder of an output, made where it is missing."""
    _existing(name.parent)
    try:
        name.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{name.parent}: cannot be made: {error.strerror}") from error
