"""Reconstruction: opens the bundle, runs it over a file's slices, writes volume, std, sidecar and preview."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mri_d3gm.io.fastmri_h5 import Scan, crop_to_recon, open_scan, scan_hash
from mri_d3gm.io.nifti import write_nifti
from mri_d3gm.io.preview import write_preview
from mri_d3gm.io.sidecar import write_sidecar
from mri_d3gm.tasks import outputs
from mri_d3gm.tasks.bundles import choose_slices, default_weights, infer
from mri_d3gm.tasks.outputs import Outputs, fingerprint_options, make_folder, software, weights_record

PIPELINE = "reconstruction"
POOR_FIT = 0.9
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
    "steps": 1,
    "samples": 4,
    "tau": None,
    "trust": "fast",
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


def slice_items(path: str, slices: str | None = None) -> list[dict[str, Any]]:
    """One {path, slice} for each slice of a file; slices as "a:b", "a" or None for all."""
    count = open_scan(path).slices
    return [{"path": str(path), "slice": index} for index in choose_slices(path, count, slices)]


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
    return infer(PIPELINE, DEFAULTS, path, options, output, progress)


def finish(gatherer: Any, path: str, options: dict[str, Any], output: Sequence[str] | str | None) -> Reconstruction:
    """Crop, score, describe, and write a finished run; the bundle's last expression."""
    scan = open_scan(path, crop=options["crop"])

    def cropped(images: list[np.ndarray]) -> np.ndarray | None:
        return np.stack([crop_to_recon(image, scan) for image in images]) if images else None

    volume, zero_filled, reference = (cropped(i) for i in (gatherer.volume, gatherer.zero_filled, gatherer.reference))
    assert volume is not None and zero_filled is not None
    record = describe(scan, options, gatherer, volume, zero_filled, reference)
    result = Reconstruction(volume, cropped(gatherer.std), zero_filled, reference, record)
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
    trust = trust_record([fact["support"] for fact in facts], options["trust"])
    if trust["WithheldError"] is not None and trust["WithheldError"] > POOR_FIT:
        warnings.append(
            f"of the lines withheld to test it, the prediction missed {100 * trust['WithheldError']:.0f} % of the energy "
            "(100 %: no better than zero-filling); believe nothing fine that was not measured"
        )
    residuals = [fact["residual"] for fact in facts if fact["residual"] is not None]
    residual = float(np.sqrt(np.mean(np.square(residuals)))) if residuals else None
    record: dict[str, Any] = {
        "Method": options["method"],
        "Input": {"File": Path(scan.path).name, "SHA256": scan_hash(scan.path)},
        "Options": fingerprint_options(options),
        "Weights": weights_record(options["method"], options["weights"]),
        "Software": software(),
        "Sampling": {
            "FromFile": scan.mask is not None,
            "AccelerationAchieved": round(achieved_accel(mask, scan.limits), 3),
            "CentreLines": list(center_lines(mask)),
        },
        "Slices": len(facts),
        "Evaluations": facts[0]["evaluations"],
        "Draws": options["samples"] if options["method"] == "d3gm" else 1,
        "Seconds": round(gatherer.seconds(), 2),
        "Noise": noise,
        "DataResidual": {
            "BeforeLastConsistency": residual,
            "RelativeToNoise": residual / noise["Sigma"] if residual is not None and noise["Sigma"] > 0 else None,
        },
        "Trust": trust,
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


def trust_record(supports: Sequence[Any], mode: str) -> dict[str, Any]:
    """The sidecar's word on withheld samples: error of all slices together, |y - p|^2 / |y|^2, and the mean weight by band."""
    from mri_d3gm.physics.trust import EDGES, Support, weights_of_bands

    found = [support for support in supports if support is not None]
    record: dict[str, Any] = {"Mode": mode, "WithheldError": None, "WithheldSamples": 0}
    if found:
        total = Support(*map(sum, zip(*found, strict=True)))  # type: ignore[arg-type]
        weights = np.mean([weights_of_bands(support).numpy() for support in found], 0)
        record |= {"WithheldError": round(total.error(), 4), "WithheldSamples": int(total.samples.sum())}
        record |= {"BandEdges": list(EDGES), "WeightByBand": [round(float(weight), 3) for weight in weights]}
    return record


def scores(reference: np.ndarray, image: np.ndarray) -> dict[str, dict[str, float]]:
    """Metrics by protocol name."""
    from mri_d3gm.metrics import score

    return {name: score(reference, image, name) for name in ("fastmri-volume", "slice-max", "body", "haarpsi")}


def write(result: Reconstruction, scan: Scan, names: Outputs) -> None:
    """Write volume, std, preview and, last, the sidecar that marks them complete."""
    record = result.record
    description = f"mri-d3gm {record['Method']} R={record['Sampling']['AccelerationAchieved']:g}; position unknown"
    make_folder(names.volume)
    write_nifti(names.volume, result.volume, scan.voxel_mm, scan.acquisition, description)
    if result.std is not None:
        write_nifti(names.std, result.std, scan.voxel_mm, scan.acquisition, "expected std of the error; " + description)
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
    """Names for an input: X_recon.nii.gz and so on in a folder, or those of a name ending in .nii.gz."""
    return outputs.output_names(path, output, "recon")


def already_done(path: str | Path, names: Outputs, options: dict[str, Any]) -> bool:
    """Whether `names` hold the result of this input, these options and these weights; other files are refused."""
    chosen = DEFAULTS | options
    weights = str(chosen["weights"] or default_weights(PIPELINE))
    return outputs.already_done(names, names.sidecar, scan_hash(str(path)), chosen, weights)
