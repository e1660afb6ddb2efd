"""Names of what a run writes, none of which two inputs, or two tasks on one input, share."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mri_d3gm.errors import InputError
from mri_d3gm.io.arrays.bart_cfl import HEADER_ENDING
from mri_d3gm.io.atomic import remove, set_aside
from mri_d3gm.io.open_image import READERS
from mri_d3gm.io.open_scan import scan_endings
from mri_d3gm.io.save_image import WRITERS


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
        stem = without_ending(self.result)
        named = (None if name is None else name.with_name(f"{stem}_{entities}{name.name[len(stem) :]}") for name in self)
        return Outputs(*named)  # type: ignore[arg-type]


def volume_names(path: str | Path, output: str | Path, kind: str) -> Outputs:
    """Names for an input: a folder gets X_kind.nii.gz and so on, a name with an ending of WRITERS is taken as it is."""
    target = Path(output)
    written = next((end for end in WRITERS if target.name.lower().endswith(end)), None)
    if written is not None:
        stem = str(target)[: -len(written)]
    elif target.name.lower().endswith((*input_endings(), ".png", ".json")) and not target.is_dir():
        raise InputError(f"{output}: -o takes a folder or a name that ends in {', '.join(WRITERS)}")
    else:
        written, stem = next(iter(WRITERS)), f"{target / without_ending(Path(os.path.abspath(path)))}_{kind}"
    endings = (written, ".json", f"_std{written}", "_preview.png")
    result, sidecar, std, preview = (Path(stem + ending) for ending in endings)
    return Outputs(result, sidecar, std, preview, report=Path(f"{stem}_report.html"), dicom=Path(f"{stem}_dicom"))


def input_endings() -> tuple[str, ...]:
    """Endings of all formats of scans and images that are read, the longest first; BART's headers stand for their data."""
    images = (ending for reader in READERS.values() for ending in reader.endings)
    return tuple(sorted({*images, *scan_endings(), HEADER_ENDING}, key=len, reverse=True))


def without_ending(path: Path) -> str:
    """The name of a scan or volume without its ending; that of a picture as it is."""
    ending = next((end for end in input_endings() if path.name.lower().endswith(end)), "")
    return path.name[: len(path.name) - len(ending)] or path.name


def picture_names(path: str | Path, output: str | Path, endings: Sequence[str]) -> Outputs:
    """The picture to write, in a folder under the input's name or under the name given, and X.png.json next to X.png, so that
    X.png and X.jpg do not share one.
    """
    target = Path(output)
    if target.suffix.lower() not in endings:
        if target.suffix and not target.is_dir():
            raise InputError(f"{output}: -o takes a folder or a name that ends in one of {', '.join(endings)}")
        target = target / Path(path).name
    return Outputs(target, target.with_name(f"{target.name}.json"))


def folders(files: Sequence[str], output: str) -> list[str]:
    """The output of each input: `output`, but for inputs whose results would share a name a folder below it, named as those
    that they lie in, and as their endings where they lie in one.
    """
    paths = [Path(os.path.abspath(file)) for file in files]
    names = Counter(map(without_ending, set(paths)))
    clashing = {path for path in paths if names[without_ending(path)] > 1}
    if not clashing:
        return [output] * len(files)
    common = os.path.commonpath([path.parent for path in clashing])
    neighbours = Counter((path.parent, without_ending(path)) for path in clashing)
    places = {}
    for path in clashing:
        name = without_ending(path)
        ending = path.name[len(name) :].lstrip(".") if neighbours[path.parent, name] > 1 else ""
        places[path] = Path(output, path.parent.relative_to(common), ending)
    return [str(places.get(path, output)) for path in paths]


def check_writable(names: Outputs) -> None:
    """InputError where the files could not be written; nothing is made."""
    folder = names.result.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
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


def make_folder(name: Path) -> None:
    """The folder of an output, made where it is missing."""
    try:
        name.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{name.parent}: cannot be made: {error.strerror}") from error
