"""Reconstruction: opens the bundle, runs it over a file's slices, writes volume, std, sidecar and preview."""

from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.fastmri_h5 import Scan, crop_to_recon, open_scan, scan_hash
from mri_d3gm.io.nifti import write_nifti
from mri_d3gm.io.preview import write_preview
from mri_d3gm.io.sidecar import read_sidecar, write_sidecar
from mri_d3gm.tasks.bundles import named_causes, open_bundle, shipped

SOFTWARE = ("mri-d3gm", "torch", "monai", "fastmri", "numpy")
DEFAULTS: dict[str, Any] = {
    "accel": None,
    "mask_kind": "equispaced-fraction",
    "axis": "phase",
    "center_fraction": None,
    "coil_maps": None,
    "crop": True,
    "seed": 0,
    "method": "d3gm",
    "solver": "posterior",
    "steps": 2,
    "samples": 4,
    "slices": None,
    "weights": None,
    "device": "cpu",
}


class Reconstruction(NamedTuple):
    """Arrays (slices, rows, cols) float32 in the file's units, and the record that the sidecar holds."""

    volume: np.ndarray
    std: np.ndarray | None
    zero_filled: np.ndarray
    reference: np.ndarray | None
    record: dict[str, Any]


class Outputs(NamedTuple):
    """Names of one reconstruction's files."""

    volume: Path
    std: Path
    sidecar: Path
    preview: Path


def slice_items(path: str, slices: str | None = None) -> list[dict[str, Any]]:
    """One {path, slice} for each slice of a file; slices as "a:b", "a" or None for all."""
    count = open_scan(path).slices
    if slices is None:
        chosen = range(count)
    else:
        try:
            parts = [int(part) if part else None for part in slices.split(":")]
            index = slice(*parts) if len(parts) > 1 else slice(parts[0], (parts[0] or 0) + 1)
            chosen = range(count)[index]
        except (ValueError, TypeError) as error:
            raise InputError(f"--slices {slices}: write one number or a:b") from error
    if not chosen:
        raise InputError(f"{path}: --slices {slices} leaves none of its {count} slices")
    return [{"path": str(path), "slice": index} for index in chosen]


def default_weights() -> Path:
    """The shipped weights of the reconstruction bundle."""
    return shipped("pipelines", "reconstruction", "models", "model.safetensors")


def resolve_device(name: str) -> str:
    """auto to cuda where there is one; a GPU that was asked for and is missing is refused."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"--device {name}: no GPU that this PyTorch can use; leave --device out or say cpu")
    if name != "cpu" and not name.startswith("cuda"):
        raise InputError(f"--device {name}: unknown; one of auto, cpu, cuda")
    return name


def reconstruct(
    path: str | Path,
    *,
    output: Outputs | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Reconstruction:
    """Reconstruct a fastMRI-layout file; options are the keys of DEFAULTS.

    output: names to write to (see `output_names`), None writes nothing. progress(done, total) counts evaluations.
    Raises InputError for every input that cannot be used.
    """
    unknown = set(options) - set(DEFAULTS)
    if unknown:
        raise InputError(f"unknown option {sorted(unknown)[0]}; one of {', '.join(DEFAULTS)}")
    chosen = DEFAULTS | options
    chosen["device"] = resolve_device(chosen["device"])
    chosen["weights"] = str(chosen["weights"] or default_weights())
    root = shipped("pipelines", "reconstruction")
    names = None if output is None else [str(name) for name in output]
    workflow = open_bundle(root, "inference.json", "inference", dataset_dir=str(path), output=names, **chosen)
    report_progress(workflow, chosen, progress)
    with named_causes():
        workflow.run()
        return workflow.finalize()[0]


def report_progress(workflow: Any, options: dict[str, Any], progress: Callable[[int, int], None] | None) -> None:
    """Connect the bundle's inferer and gatherer to a progress callback."""
    if progress is None:
        return
    each = options["steps"] if options["method"] == "d3gm" else 1
    total, done = each * len(workflow.dataset), 0

    def step(*_: int) -> None:
        nonlocal done
        done += 1
        progress(done, total)

    if options["method"] == "d3gm":
        workflow.inferer.progress = step
    else:
        workflow.parser.get_parsed_content("gatherer").on_slice = step


def finish(gatherer: Any, path: str, options: dict[str, Any], output: Sequence[str] | str | None) -> Reconstruction:
    """Crop, score, describe, and write a finished run; the bundle's last expression."""
    scan = open_scan(path, crop=options["crop"])

    def cropped(images: list[np.ndarray]) -> np.ndarray | None:
        return np.stack([crop_to_recon(image, scan) for image in images]) if images else None

    volume, zero_filled, reference = (cropped(i) for i in (gatherer.volume, gatherer.zero_filled, gatherer.reference))
    assert volume is not None and zero_filled is not None
    drawn = options["method"] == "d3gm" and options["samples"] > 1
    std = cropped(gatherer.std) if drawn else None
    record = describe(scan, options, gatherer, volume, zero_filled, reference)
    result = Reconstruction(volume, std, zero_filled, reference, record)
    if output is not None:
        write(result, scan, output_names(path, output) if isinstance(output, str) else Outputs(*map(Path, output)))
    return result


def describe(
    scan: Scan,
    options: dict[str, Any],
    gatherer: Any,
    volume: np.ndarray,
    zero_filled: np.ndarray,
    reference: np.ndarray | None,
) -> dict[str, Any]:
    """The sidecar: provenance, sampling, noise, residual, metrics, warnings."""
    from mri_d3gm.physics.masks import achieved_accel, center_lines
    from mri_d3gm.transforms.kspace import sampling

    arguments = [options[key] for key in ("accel", "mask_kind", "axis", "center_fraction", "seed")]
    mask, warnings = sampling(scan, *arguments)
    facts = gatherer.facts
    noise = facts[len(facts) // 2]["noise"]
    if noise["Source"] == "floor":
        warnings.append("the noise could not be estimated from this sampling: a floor stands for it")
    elif not noise["Reliable"]:
        warnings.append("two ways to estimate the noise differ by more than three times: the estimate is unreliable")
    maps = sorted({fact["coil_maps"] for fact in facts})
    if "low-resolution" in maps:
        warnings.append("too few centre lines for ESPIRiT: coil maps are of low resolution")
    warnings += list(scan.warnings)
    residuals = [fact["residual"] for fact in facts if fact["residual"] is not None]
    residual = float(np.sqrt(np.mean(np.square(residuals)))) if residuals else None
    learned = options["method"] in ("d3gm", "regression")
    record: dict[str, Any] = {
        "Method": options["method"],
        "Input": {"File": Path(scan.path).name, "SHA256": scan_hash(scan.path)},
        "Options": fingerprint_options(options),
        "Weights": weights_record(options["weights"]) if learned else None,
        "Software": {name: installed(name) for name in SOFTWARE},
        "Sampling": {
            "FromFile": scan.mask is not None,
            "AccelerationAchieved": round(achieved_accel(mask, scan.limits), 3),
            "CentreLines": list(center_lines(mask)),
        },
        "Evaluations": facts[0]["evaluations"],
        "Draws": options["samples"] if options["method"] == "d3gm" else 1,
        "Seconds": round(gatherer.seconds(), 2),
        "Noise": noise,
        "DataResidual": {
            "BeforeLastConsistency": residual,
            "RelativeToNoise": residual / noise["Sigma"] if residual is not None and noise["Sigma"] > 0 else None,
        },
        "CoilMaps": maps,
        "VoxelMillimetres": list(scan.voxel_mm),
        "PositionKnown": False,
        "ReadoutOversamplingRemoved": scan.oversampled,
        "IntendedUse": "research only, not for diagnosis",
        "Warnings": warnings,
    }
    if reference is not None:
        record["Metrics"] = scores(reference, volume)
        record["MetricsZeroFilled"] = scores(reference, zero_filled)
    return record


def scores(reference: np.ndarray, image: np.ndarray) -> dict[str, dict[str, float]]:
    """Metrics by protocol name."""
    from mri_d3gm.metrics import score

    return {name: score(reference, image, name) for name in ("fastmri-volume", "slice-max", "body")}


def weights_record(path: str) -> dict[str, str]:
    """Name and hash of a weights file."""
    from mri_d3gm.networks.weights import file_hash

    return {"File": Path(path).name, "SHA256": file_hash(path)}


def installed(name: str) -> str | None:
    """Version of an installed package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def fingerprint_options(options: dict[str, Any]) -> dict[str, Any]:
    """The options that decide the result."""
    return {key: value for key, value in options.items() if key not in ("weights", "device")}


def write(result: Reconstruction, scan: Scan, names: Outputs) -> None:
    """Write volume, std, preview and, last, the sidecar that marks them complete."""
    record = result.record
    description = f"mri-d3gm {record['Method']} R={record['Sampling']['AccelerationAchieved']:g}; position unknown"
    try:
        names.volume.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{names.volume.parent}: cannot be made: {error.strerror}") from error
    write_nifti(names.volume, result.volume, scan.voxel_mm, scan.acquisition, description)
    if result.std is not None:
        write_nifti(names.std, result.std, scan.voxel_mm, scan.acquisition, "std of draws; " + description)
    else:
        names.std.unlink(missing_ok=True)
    middle = len(result.volume) // 2
    panels = {"zero-filled": result.zero_filled[middle], record["Method"]: result.volume[middle]}
    if result.std is not None:
        panels["std"] = result.std[middle]
    if result.reference is not None:
        panels["reference"] = result.reference[middle]
        panels["error"] = np.abs(result.volume[middle] - result.reference[middle])
    title = f"{record['Input']['File']}  {description}"
    write_preview(names.preview, panels, title, scan.voxel_mm[:2])
    write_sidecar(names.sidecar, record)


def output_names(path: str | Path, output: str | Path) -> Outputs:
    """Names for an input: a folder gets X_recon.nii.gz and so on, a name ending in .nii.gz is taken as it is."""
    target = Path(output)
    if target.name.endswith(".nii.gz"):
        stem = target.with_name(target.name.removesuffix(".nii.gz"))
        return Outputs(target, Path(f"{stem}_std.nii.gz"), Path(f"{stem}.json"), Path(f"{stem}_preview.png"))
    if target.name.endswith((".nii", ".h5", ".png", ".json")):
        raise InputError(f"{output}: -o takes a folder or a name that ends in .nii.gz")
    base = target / Path(path).stem
    return Outputs(*(Path(f"{base}_{end}") for end in ("recon.nii.gz", "std.nii.gz", "recon.json", "preview.png")))


def already_done(path: str | Path, names: Outputs, options: dict[str, Any]) -> bool:
    """Whether the sidecar at `names` records this input, these options and these weights; other files are refused."""
    if not any(name.exists() for name in names):
        return False
    if names.sidecar.exists() and names.volume.exists():
        record = read_sidecar(names.sidecar)
        chosen = DEFAULTS | options
        learned = chosen["method"] in ("d3gm", "regression")
        weights = weights_record(str(chosen["weights"] or default_weights())) if learned else None
        same = record.get("Input", {}).get("SHA256") == scan_hash(str(path)) and record.get("Weights") == weights
        if same and record.get("Options") == fingerprint_options(chosen):
            return True
    existing = next(name for name in names if name.exists())
    raise InputError(f"{existing}: exists and comes from another input or other options; --overwrite replaces it")
