"""Super-resolution: opens the bundle, runs it over a volume's slices, writes volume, std, sidecar and preview."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.image import Image, image_hash, slice_axis
from mri_d3gm.io.preview import upright, write_preview
from mri_d3gm.io.save_image import save_image
from mri_d3gm.io.sidecar import write_sidecar
from mri_d3gm.tasks import outputs
from mri_d3gm.tasks.bundles import choose_slices, default_weights, infer
from mri_d3gm.tasks.outputs import Outputs, fingerprint_options, make_folder, software, weights_record

PIPELINE = "super_resolution"
DEFAULTS: dict[str, Any] = {
    "series": None,
    "slice_axis": None,
    "slices": None,
    "scale": 4,
    "operator": "truncation",
    "degrade": None,
    "noise": 0.0,
    "seed": 0,
    "method": "d3gm",
    "solver": "posterior",
    "steps": 1,
    "samples": 4,
    "tau": None,
    "weights": None,
    "device": "cpu",
}


class SuperResolution(NamedTuple):
    """Arrays (i, j, k[, t]) float32 in the file's units on the grid of `affine`, and the record that the sidecar holds.

    reference, also an array of that shape, is there when the input was degraded first.
    """

    volume: np.ndarray
    std: np.ndarray | None
    reference: np.ndarray | None
    affine: np.ndarray
    record: dict[str, Any]


def slice_items(path: str, series: str | None, axis: int | None, slices: str | None) -> list[dict[str, Any]]:
    """One {path, slice, frame, index} for each slice of each frame of a volume; slices as in `choose_slices`."""
    from mri_d3gm.transforms.resolution import cached_volume

    if axis is not None and axis not in (0, 1, 2):
        raise InputError(f"--slice-axis {axis}: 0, 1 or 2")
    shape = cached_volume(path, series).array.shape
    axis = slice_axis(cached_volume(path, series)) if axis is None else axis
    chosen = choose_slices(path, shape[axis], slices)
    frames = range(shape[3] if len(shape) == 4 else 1)
    return [{"path": path, "slice": k, "frame": t, "index": t * shape[axis] + k} for t in frames for k in chosen]


def central_slices(path: str, count: int | None) -> str | None:
    """`slices` for that many around the middle of a volume; None for all."""
    from mri_d3gm.transforms.resolution import cached_volume

    source = cached_volume(path)
    total = source.array.shape[slice_axis(source)]
    if count is None or count >= total:
        return None
    return f"{(total - count) // 2}:{(total - count) // 2 + count}"


def superresolve(
    path: str | Path,
    *,
    output: Outputs | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> SuperResolution:
    """Super-resolve a NIfTI, NRRD or DICOM volume in plane; options are the keys of DEFAULTS.

    output: names to write to (see `output_names`), None writes nothing. progress(done, total) counts evaluations.
    degrade: truncation or kernel makes the input smaller first, so that the result can be scored against it.
    Raises InputError for every input that cannot be used.
    """
    return infer(PIPELINE, DEFAULTS, path, options, output, progress)


def grid(affine: np.ndarray, axis: int, first: int, scale: float) -> np.ndarray:
    """Affine after in-plane voxels became `scale` times smaller and slice `first` along `axis` became the first."""
    steps = np.ones(4)
    steps[[a for a in range(3) if a != axis]] = 1 / scale
    shifted = affine.copy()
    shifted[:3, 3] += affine[:3, axis] * first
    return shifted * steps


def finish(gatherer: Any, path: str, options: dict[str, Any], output: Sequence[str] | str | None) -> SuperResolution:
    """Assemble, score, describe, and write a finished run; the bundle's last expression."""
    from mri_d3gm.transforms.resolution import cached_volume

    source = cached_volume(path, options["series"])
    axis = slice_axis(source) if options["slice_axis"] is None else options["slice_axis"]
    frames = source.array.shape[3] if source.array.ndim == 4 else 1

    def assembled(slices: list[np.ndarray]) -> np.ndarray | None:
        if not slices:
            return None
        stacked = np.stack(slices)
        slices.clear()
        stacked = stacked.reshape(frames, -1, *stacked.shape[1:])
        volume = np.moveaxis(np.moveaxis(stacked, 1, axis + 1), 0, 3)
        return volume if source.array.ndim == 4 else volume[..., 0]

    volume, std, reference = (assembled(i) for i in (gatherer.volume, gatherer.std, gatherer.reference))
    assert volume is not None
    scale = 1 if options["degrade"] else options["scale"]
    affine = grid(source.affine, axis, gatherer.facts[0]["slice"], scale)
    record = describe(source, path, options, gatherer, volume, reference, axis, affine)
    result = SuperResolution(volume, std, reference, affine, record)
    if output is not None:
        names = output_names(path, output) if isinstance(output, str) else Outputs(*map(Path, output))
        write(result, source, axis, names)
    return result


def describe(
    source: Image,
    path: str,
    options: dict[str, Any],
    gatherer: Any,
    volume: np.ndarray,
    reference: np.ndarray | None,
    axis: int,
    affine: np.ndarray,
) -> dict[str, Any]:
    """The sidecar: provenance, grid, residual, metrics, warnings."""
    from mri_d3gm.metrics import score

    residuals = [fact["residual"] for fact in gatherer.facts if fact["residual"] is not None]
    record: dict[str, Any] = {
        "Method": options["method"],
        "Input": {"File": Path(path).resolve().name, "SHA256": image_hash(source), "Description": source.description},
        "Options": fingerprint_options(options),
        "Weights": weights_record(options["method"], options["weights"]),
        "Software": software(),
        "SliceAxis": axis,
        "MatrixBefore": list(source.array.shape),
        "Matrix": list(volume.shape),
        "VoxelMillimetres": np.linalg.norm(affine[:3, :3], axis=0).tolist(),
        "Slices": len(gatherer.facts),
        "Evaluations": gatherer.facts[0]["evaluations"],
        "Draws": options["samples"] if options["method"] == "d3gm" else 1,
        "Seconds": round(gatherer.seconds(), 2),
        "DataResidual": {"BeforeLastConsistency": float(np.sqrt(np.mean(np.square(residuals)))) if residuals else None},
        "IntendedUse": "research only, not for diagnosis",
        "Warnings": warnings_of(source, axis, options),
    }
    if reference is not None:
        pair = [np.moveaxis(image, axis, 0).reshape(image.shape[axis], *_plane(image, axis)) for image in (reference, volume)]
        record["Metrics"] = {name: score(pair[0], pair[1], name) for name in ("fastmri-volume", "body", "haarpsi")}
    return record


def _plane(image: np.ndarray, axis: int) -> tuple[int, int]:
    rows, cols = (n for a, n in enumerate(image.shape[:3]) if a != axis)
    return rows, cols * (image.shape[3] if image.ndim == 4 else 1)


def warnings_of(source: Image, axis: int, options: dict[str, Any]) -> list[str]:
    """What the user should know: in-plane axes that were interpolated already, as the middle slice's k-space shows."""
    if options["degrade"] is not None:
        return []
    frame = source.array[..., 0] if source.array.ndim == 4 else source.array
    power = np.abs(np.fft.fft2(np.take(frame, frame.shape[axis] // 2, axis))) ** 2
    found = []
    for index, name in enumerate(("first", "second")):
        line, place = power.sum(1 - index), np.abs(np.fft.fftfreq(power.shape[index])) * 2
        outer, inner = line[(place > 0.9) & (place < 1)], line[(place > 0.2) & (place < 0.3)]
        if len(outer) and len(inner) and outer.mean() < 1e-3 * inner.mean():
            found.append(f"k-space is empty at the border of the {name} in-plane axis: this volume was interpolated before")
    return found


def write(result: SuperResolution, source: Image, axis: int, names: Outputs) -> None:
    """Write volume, std, preview and, last, the sidecar that marks them complete."""
    record = result.record
    scale = record["Options"]["scale"]
    description = f"mri-d3gm {record['Method']} x{scale}"
    # a NIfTI's own coordinates, 2 where it names none; scanner coordinates of DICOM and NRRD
    code = source.source.get("sform_code", 1) or source.source.get("qform_code") or 2
    make_folder(names.volume)
    save_image(names.volume, replace(source, array=result.volume, affine=result.affine), code, description)
    if result.std is not None:
        save_image(names.std, replace(source, array=result.std, affine=result.affine), code, "std of draws; " + description)
    else:
        names.std.unlink(missing_ok=True)
    middle = result.volume.shape[axis] // 2

    def plane(array: np.ndarray) -> np.ndarray:
        return np.take(array[..., 0] if array.ndim == 4 else array, middle, axis=axis)

    panels = {record["Method"]: plane(result.volume)}
    if result.reference is None:
        first = record["Options"]["slices"]
        offset = choose_slices("", source.array.shape[axis], first)[middle]
        low = np.take(source.array[..., 0] if source.array.ndim == 4 else source.array, offset, axis=axis)
        panels = {"input": low.repeat(scale, 0).repeat(scale, 1)} | panels
    if result.std is not None:
        panels["std"] = plane(result.std)
    if result.reference is not None:
        panels["reference"] = plane(result.reference)
        panels["error"] = np.abs(panels["reference"] - panels[record["Method"]])
    shown, spacing = upright(panels, np.delete(result.affine[:3, :3], axis, axis=1))
    title = f"{record['Input']['File']}  {description}"
    write_preview(names.preview, shown, title, spacing, "not for diagnosis")
    write_sidecar(names.sidecar, record)


def output_names(path: str | Path, output: str | Path) -> Outputs:
    """Names for an input: X_sr.nii.gz and so on in a folder, or those of a name ending in .nii.gz."""
    return outputs.output_names(path, output, "sr")


def already_done(path: str | Path, names: Outputs, options: dict[str, Any]) -> bool:
    """Whether `names` hold the result of this input, these options and these weights; other files are refused."""
    from mri_d3gm.transforms.resolution import cached_volume

    chosen = DEFAULTS | options
    weights = str(chosen["weights"] or default_weights(PIPELINE))
    return outputs.already_done(names, names.sidecar, image_hash(cached_volume(str(path), chosen["series"])), chosen, weights)
