"""What a run leaves behind: names of its files, the provenance they hold, and whether they are there already."""

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from mri_d3gm.errors import InputError
from mri_d3gm.io.sidecar import read_sidecar

SOFTWARE = ("mri-d3gm", "torch", "monai", "fastmri", "nibabel", "numpy")
LEARNED = ("d3gm", "regression")
ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".zip", ".dcm", ".h5")


class Outputs(NamedTuple):
    """Names of one run's files."""

    volume: Path
    std: Path
    sidecar: Path
    preview: Path


def output_names(path: str | Path, output: str | Path, kind: str) -> Outputs:
    """Names for an input: a folder gets X_kind.nii.gz and so on, a name ending in .nii.gz is taken as it is."""
    target = Path(output)
    if target.name.endswith(".nii.gz"):
        stem = target.with_name(target.name.removesuffix(".nii.gz"))
        return Outputs(target, Path(f"{stem}_std.nii.gz"), Path(f"{stem}.json"), Path(f"{stem}_preview.png"))
    if target.name.endswith((".nii", ".h5", ".png", ".json")):
        raise InputError(f"{output}: -o takes a folder or a name that ends in .nii.gz")
    name = Path(path).resolve().name
    ending = next((end for end in ENDINGS if name.lower().endswith(end)), "")
    base = target / name[: len(name) - len(ending)]
    return Outputs(*(Path(f"{base}_{end}") for end in (f"{kind}.nii.gz", "std.nii.gz", f"{kind}.json", "preview.png")))


def make_folder(name: Path) -> None:
    """The folder of an output, made where it is missing."""
    try:
        name.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{name.parent}: cannot be made: {error.strerror}") from error


def already_done(names: Sequence[Path], sidecar: Path, input_hash: str, options: Mapping[str, Any], weights: str) -> bool:
    """Whether the sidecar records this input, these options and these weights and names[0] is there; other files are refused.

    names: all files of the run, the result first.
    """
    if not any(name.exists() for name in names):
        return False
    if sidecar.exists() and names[0].exists():
        record = read_sidecar(sidecar)
        same = record.get("Input", {}).get("SHA256") == input_hash
        same = same and record.get("Weights") == weights_record(options["method"], weights)
        if same and record.get("Options") == fingerprint_options(options):
            return True
    existing = next(name for name in names if name.exists())
    raise InputError(f"{existing}: exists and comes from another input or other options; --overwrite replaces it")


def fingerprint_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that decide the result."""
    return {key: value for key, value in options.items() if key not in ("weights", "device")}


def weights_record(method: str, path: str) -> dict[str, str] | None:
    """Name and hash of the weights file that a method uses, None where it uses none."""
    from mri_d3gm.networks.weights import file_hash

    return {"File": Path(path).name, "SHA256": file_hash(path)} if method in LEARNED else None


def software() -> dict[str, str | None]:
    """Versions of what computed the result."""
    return {name: _installed(name) for name in SOFTWARE}


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
