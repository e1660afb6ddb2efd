"""The provenance that a sidecar holds, and whether it is that of the run that is asked for."""

import hashlib
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from mri_d3gm import __version__
from mri_d3gm.errors import InputError
from mri_d3gm.io.dicom.dicom_study import read_template
from mri_d3gm.io.sidecar import read_sidecar
from mri_d3gm.io.stamps import stamps
from mri_d3gm.networks.files import weights_files
from mri_d3gm.runs.names import Outputs, check_writable, whole
from mri_d3gm.settings import LEARNED, Restore, Settings, SuperResolve
from mri_d3gm.shipped import shipped

FILES = ("coil_maps", "target")  # options that name a file
LIBRARIES = ("torch", "fastmri", "nibabel", "numpy")
Result = TypeVar("Result")


class Taken(InputError):
    """Files of another run are there."""


class Unfinished(Taken):
    """Some files of a run that did not end are there."""


def weights_file(settings: Settings) -> str:
    """The weights that settings name, else the shipped ones."""
    through = isinstance(settings, SuperResolve) and settings.isotropic
    name = settings.task if isinstance(settings, Restore) else "isotropic" if through else "model"
    return settings.weights or str(shipped("pipelines", settings.bundle, "models", f"{name}.safetensors"))


def files_hash(files: Iterable[str | Path]) -> str:
    """sha256 of the content of files, one after the other, hex; hashed once while they stay as they are.

    InputError where one cannot be read.
    """
    names = tuple(map(str, files))
    return _hash(names, stamps(names))


@lru_cache(maxsize=64)
def _hash(names: tuple[str, ...], _: Any) -> str:
    digest = hashlib.sha256()
    for name in names:
        try:
            with open(name, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise InputError(f"{name}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def provenance(settings: Settings, files: Iterable[str | Path]) -> dict[str, Any]:
    """What decides a result: input files, options, the files that options name, software."""
    options = settings.fingerprint()
    named = [options[name] for name in FILES if options.get(name) is not None]
    read = list(files)
    template = options.get("template")
    study = {} if template is None else {"template": read_template(template).digest}  # its name may be the patient's
    record: dict[str, Any] = {
        "Options": options | {name: Path(value).name for name, value in options.items() if name in FILES and value} | study,
        "Weights": None,
        "Software": {"mri-d3gm": __version__} | {name: _installed(name) for name in LIBRARIES},
    }
    if options["method"] in LEARNED:
        weights, *smooth = weights_files(weights_file(settings))
        record["Weights"] = {"File": weights.name, "SHA256": files_hash([weights])}
        if smooth:
            record["Weights"]["SmoothPhaseSHA256"] = files_hash(smooth)
    if named:
        record["OptionFilesSHA256"] = files_hash(named)
    return record | {"InputSHA256": files_hash(read) if read else None}


def once(
    names: Outputs,
    settings: Settings,
    files: Iterable[str | Path],
    work: Callable[[], Result],
    write: Callable[[Result], dict[str, Any]],
    overwrite: bool,
) -> tuple[dict[str, Any], bool]:
    """The record of a run over input files, and whether it was done already: what `work` gives, `write` writes and describes.

    InputError for names that cannot be written, for input that is replaced meanwhile, and for files of another run unless they
    may be overwritten.
    """
    check_writable(names)
    read = list(files)
    own = {Path(file).resolve() for file in read}
    replaced = next((name for name in names.files() if name.resolve() in own), None)
    if replaced is not None:
        raise InputError(f"{replaced}: is the input itself; give another folder or name to -o")
    done = None if overwrite else finished(names, settings, read)
    if done is not None:
        return done, True
    before = stamps(read)
    result = work()
    changed = [path for path, was, now in zip(read, before, stamps(read), strict=True) if was != now]
    if changed:
        raise InputError(f"{changed[0]}: was replaced while it was read; nothing is written, run it again")
    with whole(names):
        return write(result), False


def finished(names: Outputs, settings: Settings, files: Iterable[str | Path]) -> dict[str, Any] | None:
    """The record of a run that is done: its sidecar says what decides it, as `provenance` does, and its result is there.

    None where no file of the run is there. Taken for files of another run or other software, Unfinished where only some of this
    run are there, or no sidecar says of which they are.
    """
    existing = [name for name in names.files() if name.exists()]
    if not existing:
        return None
    series = [] if names.dicom is None or getattr(settings, "dicom", None) is None else [names.dicom]
    if names.sidecar.exists() and names.result.exists():
        record = read_sidecar(names.sidecar)
        asked = provenance(settings, files)
        same = _part(record, "Input").get("SHA256") == asked.pop("InputSHA256")
        ours = _part(record, "Software").get("mri-d3gm") == asked.pop("Software")["mri-d3gm"]
        if not (same and ours and all(record.get(key) == value for key, value in asked.items())):
            raise Taken(f"{existing[0]}: comes from another input, other options or other software; --overwrite replaces it")
        if all(name.exists() for name in series):
            return record
    raise Unfinished(f"{existing[0]}: is there without the rest of its run, one that did not end; --overwrite replaces it")


def _part(record: dict[str, Any], name: str) -> dict[str, Any]:
    """A dictionary within a record; empty where another program wrote something else."""
    part = record.get(name)
    return part if isinstance(part, dict) else {}


@cache
def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
