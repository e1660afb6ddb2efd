"""Super-resolution: settings and an image to a larger one; a file to a volume, its std map, sidecar and preview."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from mri_d3gm import pipeline
from mri_d3gm.compute import Progress, at_once, in_parallel, resolve_device
from mri_d3gm.errors import InputError
from mri_d3gm.io.dicom.dicom_study import study_of_source
from mri_d3gm.io.image import Image, coordinates, first_frame, frames_of_slices, position_known, slice_axis, with_frames
from mri_d3gm.io.open_image import open_image
from mri_d3gm.io.preview import upright, write_preview
from mri_d3gm.io.report import write_report
from mri_d3gm.io.save_image import save_image
from mri_d3gm.io.scan import slices_of
from mri_d3gm.io.sidecar import write_sidecar
from mri_d3gm.methods.draws import Draws
from mri_d3gm.methods.operator_rule import Choice
from mri_d3gm.metrics.calibration import detail_std
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.runs.model import load
from mri_d3gm.runs.names import Outputs, volume_names
from mri_d3gm.runs.progress import each
from mri_d3gm.runs.record import once, provenance
from mri_d3gm.settings import LEARNED, SAMPLED, SuperResolve, chosen_slices
from mri_d3gm.tasks import isotropic, operator
from mri_d3gm.tasks.dicom import Volume, check_dicom, write_dicom

SCORED = 7  # voxels that a side needs for SSIM's window
PIXEL_BYTES, TILE_BYTES = 110, 3.5e8  # that a slice takes for each pixel of the result, and a tile of it: measured


class SuperResolution(NamedTuple):
    """Arrays (i, j, k[, t]) float32 in the image's units on the grid of `affine`, and the record that the sidecar holds.

    reference, also an array of that shape, is there when the input was degraded first.
    """

    volume: np.ndarray
    std: np.ndarray | None
    reference: np.ndarray | None
    affine: np.ndarray
    record: dict[str, Any]


class Slice(NamedTuple):
    """What became of one slice, images (rows, cols); residual in the image's units."""

    image: np.ndarray
    std: np.ndarray | None
    reference: np.ndarray | None
    residual: float | None
    evaluations: int


def superresolve(
    source: Image, settings: SuperResolve, *, network: Denoiser | None = None, progress: Progress | None = None
) -> SuperResolution:
    """Super-resolve an image in plane or through the slices, as many slices at once as settings.threads says.

    network: loaded already. progress(done, total) counts evaluations. settings.degrade makes the input smaller first, so that
    the result can be scored against it. InputError for what cannot be used.
    """
    started = time.monotonic()
    network = load(settings) if network is None and settings.method in LEARNED else network
    if settings.isotropic:
        return through_slices(source, settings, network, progress)
    source = operator.seen(source, settings)
    axis, chosen, count = jobs_of(source, settings)
    frames = with_frames(source.array)
    jobs = [(frame, index) for frame in range(count) for index in chosen]
    grown = 1 if settings.degrade else settings.scale
    memory = frames[..., 0].size / frames.shape[axis] * grown**2 * PIXEL_BYTES + TILE_BYTES
    threads = at_once(settings.threads, resolve_device(settings.device), memory)
    run = partial(in_parallel, threads=threads)
    signed, choice = operator.signed(source, settings), operator.choose(source, settings, network, run)

    def one(job: tuple[int, int], **parallel: Any) -> Slice:
        plane = np.take(frames[..., job[0]], job[1], axis=axis)
        number = job[0] * frames.shape[axis] + job[1]
        return superresolve_slice(plane, settings, network, job[1], number, choice=choice, signed=signed, **parallel)

    return assemble(source, settings, each(one, jobs, threads, progress), time.monotonic() - started, choice)


def through_slices(
    source: Image, settings: SuperResolve, network: Denoiser | None, progress: Progress | None
) -> SuperResolution:
    """An image super-resolved through the slices, and its record."""
    started, source = time.monotonic(), operator.seen(source, settings)
    stack = isotropic.stack_of(source, settings)
    made = isotropic.isotropic(source, settings, network if settings.method in LEARNED else None, progress)
    frames = frames_of_slices(made.volume, stack.axis)
    flags = [[[] if plane.any() else ["empty"] for plane in frame] for frame in frames]
    numbered = [(frame, index) for frame in range(len(frames)) for index in range(frames.shape[1])]
    record = described(source, settings, made.volume, made.affine, stack.axis) | {
        "Stack": isotropic.described(stack, settings),
        "Slices": frames.shape[0] * frames.shape[1],
        "Evaluations": made.evaluations,
        "PerSlice": [
            ({"Frame": t} if len(frames) > 1 else {}) | {"Slice": index, "Flags": flags[t][index]} for t, index in numbered
        ],
        "DataResidual": {"BeforeLastConsistency": made.residual if made.evaluations else None},
        "Warnings": [*operator.warnings(source, settings), *isotropic.warnings(stack)],
        "Seconds": round(time.monotonic() - started, 2),
    }
    return raised(SuperResolution(made.volume, made.std, None, made.affine, record), source)


def assemble(source: Image, settings: SuperResolve, slices: Sequence[Slice], seconds: float, choice: Choice) -> SuperResolution:
    """The volume of all slices of all frames in their order (`jobs_of`), scored where it was degraded, and its record."""
    axis, chosen, frames = jobs_of(source, settings)

    def assembled(images: Sequence[np.ndarray | None]) -> np.ndarray | None:
        known = next((image for image in images if image is not None), None)
        if known is None:
            return None
        stacked = np.stack([np.zeros_like(known) if image is None else image for image in images])
        volume = stacked.reshape(frames, len(chosen), *known.shape)
        volume = np.moveaxis(np.moveaxis(volume, 1, axis + 1), 0, 3)
        return volume if source.array.ndim == 4 else volume[..., 0]

    volume, std, reference = (assembled([getattr(s, name) for s in slices]) for name in ("image", "std", "reference"))
    assert volume is not None
    affine = grid(slices_of(source.affine, chosen, axis), axis, 1 if settings.degrade else settings.scale)
    record = describe(source, settings, slices, volume, affine, choice) | {"Seconds": round(seconds, 2)}
    if settings.method == "nearest" and operator.is_of_labels(source.array):
        volume = np.rint(volume)
    result = raised(SuperResolution(volume, std, reference, affine, record), source)
    if reference is not None and result.reference is not None and reference.any():
        record["Metrics"] = scores(result.reference, result.volume, axis)
    return result


def raised(result: SuperResolution, source: Image) -> SuperResolution:
    """A result with the background that was taken off its source (`operator.grounded`); InputError where it is not finite."""
    if not all(np.isfinite(array).all() for array in (result.volume, result.std) if array is not None):
        name = source.files[0] if source.files else "volume"
        raise InputError(f"{name}: its result is NaN, Inf or too large for float32; multiply its voxels by a smaller constant")
    ground = np.float32(source.ground)
    if not ground:
        return result
    return result._replace(
        volume=result.volume + ground, reference=None if result.reference is None else result.reference + ground
    )


def jobs_of(source: Image, settings: SuperResolve) -> tuple[int, range, int]:
    """The axis across slices, the chosen ones, and the number of frames; frames come before slices in the order of work."""
    axis = slice_axis(source, settings.slice_axis)
    name = str(source.files[0]) if source.files else "volume"
    sides = [size - size % settings.scale for place, size in enumerate(source.array.shape[:3]) if place != axis]
    if settings.degrade is not None and min(sides) < SCORED:
        raise InputError(f"{name}: slices of {sides[0]} x {sides[1]} voxels cannot be scored; {SCORED} on each side at least")
    chosen = chosen_slices(name, source.array.shape[axis], settings.slices)
    return axis, chosen, with_frames(source.array).shape[3]


def superresolve_slice(
    plane: np.ndarray,
    settings: SuperResolve,
    network: Denoiser | None,
    place: int,
    number: int,
    *,
    choice: Choice | None = None,
    signed: bool = False,
    threads: int = 1,
    progress: Progress | None = None,
) -> Slice:
    """One slice (rows, cols), its draws `threads` at a time; an empty one stays empty.

    place: its index, which a degradation depends on; number: among all slices of all frames, which the draws depend on;
    choice: that of its volume (`operator.choose`); signed: values below 0 are kept.
    """
    image, reference = operator.low_resolution(plane, settings, place)
    if not image.any():
        return empty_slice(image, settings.scale, reference)
    prepared = pipeline.prepare_low_resolution(image[None], settings, choice)
    measurement = prepared.measurement.to(resolve_device(settings.device))
    draws = pipeline.solve(
        measurement, network, settings, [number], run=lambda f, items: in_parallel(f, items, threads), progress=progress
    )
    draws = draws if choice is None else operator.settled(draws, image, choice, float(prepared.scale[0]), settings.scale)
    return finished_slice(draws, prepared.scale, settings, choice, reference, signed)


def empty_slice(image: torch.Tensor, scale: int, reference: np.ndarray | None) -> Slice:
    """A slice of zeros, `scale` times as large as the image (rows, cols)."""
    return Slice(np.zeros([scale * n for n in image.shape], np.float32), None, reference, None, 0)


def finished_slice(
    draws: Draws,
    scale: np.ndarray,
    settings: SuperResolve,
    choice: Choice | None,
    reference: np.ndarray | None,
    signed: bool = False,
) -> Slice:
    """A solved batch of one; scale as in `pipeline.Prepared`, signed as in `pipeline.finish`, choice that of its volume."""
    doubted = choice is not None and choice.doubt > 0  # draws are then parts of a mean, and may be below 0
    images, stds, _ = pipeline.finish(draws, scale, calibrate=None, signed=signed or doubted)
    images = images if signed else np.abs(images)
    residual = None if draws.residual is None else float(draws.residual[0] * scale[0])
    std, count = None if stds is None else stds[0], draws.images.shape[1]
    if std is not None and count > 1:
        sample = std * (count / (count - 1)) ** 0.5
        wide, factors = settings.scale, operator.std_factors(choice, settings)
        std = detail_std(sample, images[0], float(scale[0]), wide, wide / 2, factors)
    return Slice(images[0], std, reference, residual, draws.evaluations)


def grid(affine: np.ndarray, axis: int, scale: float) -> np.ndarray:
    """Affine after voxels across `axis` became `scale` times smaller; voxel 0 keeps its centre."""
    steps = np.ones(4)
    steps[[a for a in range(3) if a != axis]] = 1 / scale
    return affine * steps


def describe(
    source: Image,
    settings: SuperResolve,
    slices: Sequence[Slice],
    volume: np.ndarray,
    affine: np.ndarray,
    choice: Choice,
) -> dict[str, Any]:
    """The sidecar: provenance, grid, residual, warnings."""
    axis = jobs_of(source, settings)[0]
    rows, cols = (n // (settings.scale if settings.degrade else 1) for n in np.delete(source.array.shape[:3], axis).tolist())
    residuals = [one.residual for one in slices if one.residual is not None]
    looked_for = settings.operator == "auto" and settings.method in LEARNED  # and left out where it was found
    doubts = [] if settings.degrade or looked_for else operator.interpolated(source, settings)
    return described(source, settings, volume, affine, axis) | {
        "Slices": len(slices),
        **({"Operator": operator.described(choice, settings, (rows, cols))} if settings.method in LEARNED else {}),
        "Evaluations": max(one.evaluations for one in slices),
        "PerSlice": per_slice(source, settings, slices),
        "DataResidual": {"BeforeLastConsistency": float(np.sqrt(np.mean(np.square(residuals)))) if residuals else None},
        "Warnings": [*operator.warnings(source, settings), *doubts],
    }


def described(source: Image, settings: SuperResolve, volume: np.ndarray, affine: np.ndarray, axis: int) -> dict[str, Any]:
    """What the sidecar says of an image and its grid."""
    made = provenance(settings, source.files)
    name = source.files[0].resolve().name if source.files else "volume"
    description = "" if settings.anonymous else source.description  # free text, which may hold names
    return {
        "Method": settings.method,
        "Input": {"File": name, "SHA256": made.pop("InputSHA256"), "Description": description},
        **made,
        "SliceAxis": axis,
        "MatrixBefore": list(source.array.shape),
        "Matrix": list(volume.shape),
        "VoxelMillimetres": np.linalg.norm(affine[:3, :3], axis=0).tolist(),
        "TimeStepSeconds": source.time_step,
        "Draws": settings.samples if settings.method in SAMPLED else 1,
        "IntendedUse": "research only, not for diagnosis",
    }


def per_slice(source: Image, settings: SuperResolve, slices: Sequence[Slice]) -> list[dict[str, Any]]:
    """Small records of slices, in their order, as `tasks.per_slice` has them; the residual in the image's units."""
    axis, chosen, frames = jobs_of(source, settings)
    bright = {(one.place[3] if frames > 1 else 0, one.place[axis]) for one in source.bright}
    records = []
    for (frame, index), one in zip(product(range(frames), chosen), slices, strict=True):
        record: dict[str, Any] = {"Frame": frame, "Slice": index} if frames > 1 else {"Slice": index}
        residual = None if one.residual is None else float(f"{one.residual:.4g}")
        flags = ["bright-voxel"] if (frame, index) in bright else []
        known: dict[str, Any] = {"Residual": residual, "Flags": flags} if one.image.any() else {"Flags": ["empty"]}
        records.append(record | known)
    return records


def scores(reference: np.ndarray, volume: np.ndarray, axis: int) -> dict[str, dict[str, float]]:
    """Metrics by protocol name, over all slices of all frames; arrays (i, j, k[, t])."""
    from mri_d3gm.metrics import score

    def slices(image: np.ndarray) -> np.ndarray:
        frames = frames_of_slices(image, axis)
        return frames.reshape(-1, *frames.shape[2:])

    return {name: score(slices(reference), slices(volume), name) for name in ("fastmri-volume", "body", "haarpsi")}


def superresolve_file(
    path: str | Path, settings: SuperResolve, names: Outputs, *, overwrite: bool = False, progress: Progress | None = None
) -> tuple[dict[str, Any], bool]:
    """Super-resolve a file or folder and write what `names` says; the record, and whether it was there already.

    InputError for input that cannot be used, for names that cannot be written, and for files of another run.
    """
    source = operator.grounded(open_image(path, settings.series))
    check_dicom(settings, study_of_source(source.source), (str(path), source.affine, jobs_of(source, settings)[0]))

    def work() -> SuperResolution:
        result = superresolve(source, settings, progress=progress)
        result.record["Input"]["File"] = Path(path).resolve().name
        return result

    return once(names, settings, source.files, work, lambda result: write(result, source, names, settings), overwrite)


def write(result: SuperResolution, source: Image, names: Outputs, settings: SuperResolve) -> dict[str, Any]:
    """Write volume, std, preview, DICOM and, last, the sidecar that marks them complete; the record that it holds."""
    own = study_of_source(source.source)
    axis = result.record["SliceAxis"]
    said = check_dicom(settings, own, (result.record["Input"]["File"], result.affine, axis))
    record = result.record | {"Warnings": [*result.record["Warnings"], *said]}
    description = f"mri-d3gm {record['Method']} {'isotropic' if settings.isotropic else f'x{settings.scale}'}"
    code = coordinates(source)
    save_image(names.result, replace(source, array=result.volume, affine=result.affine), code, description)
    if names.std is not None and result.std is not None:
        save_image(
            names.std,
            replace(source, array=result.std, affine=result.affine),
            code,
            "std of the error to expect; " + description,
        )
    if names.dicom is not None and settings.dicom is not None:
        series = Volume(result.volume, result.std, result.affine, axis, code == 1)
        series = series._replace(time_step=source.time_step, contrasts=source.contrasts)
        write_dicom(names.dicom, series, settings, own, record)
    panels, across = panels_of(result, source, settings)
    shown, spacing = upright(panels, np.delete(result.affine[:3, :3], across, axis=1))
    if names.preview is not None:
        write_preview(names.preview, shown, f"{record['Input']['File']}  {description}", spacing, "not for diagnosis")
    if names.report is not None and settings.report:
        plain = superresolve(source, replace(settings, method="cubic" if settings.isotropic else "sinc")).volume
        arrays = {"result": result.volume, "plain": plain, "reference": result.reference}
        known = {role: array - np.float32(source.ground) for role, array in arrays.items() if array is not None}
        known |= {} if result.std is None else {"std": result.std}
        write_report(names.report, record, known, result.affine, axis=axis, sides_known=position_known(source))
    write_sidecar(names.sidecar, record)
    return record


def panels_of(result: SuperResolution, source: Image, settings: SuperResolve) -> tuple[dict[str, np.ndarray], int]:
    """Panels of the preview by their label, without the background of a `grounded` source, and the axis that they are planes
    across: that of the slices, or where there are more slices than before the first other one.
    """
    axis, method, ground = result.record["SliceAxis"], result.record["Method"], np.float32(source.ground)
    across = (0 if axis else 1) if settings.isotropic else axis
    middle = result.volume.shape[across] // 2

    def plane(array: np.ndarray, index: int = middle) -> np.ndarray:
        return np.take(first_frame(array), index, axis=across)

    panels = {method: plane(result.volume) - ground}
    if settings.isotropic:
        panels = {"input": plane(superresolve(source, replace(settings, method="nearest")).volume) - ground} | panels
    elif result.reference is None:
        low = plane(source.array, chosen_slices("", source.array.shape[axis], settings.slices)[middle])
        panels = {"input": low.repeat(settings.scale, 0).repeat(settings.scale, 1)} | panels
    if result.std is not None:
        panels["std"] = plane(result.std)
    if result.reference is not None:
        panels["reference"] = plane(result.reference) - ground
        panels["error"] = np.abs(panels["reference"] - panels[method])
    return panels, across


def names_of(path: str | Path, output: str | Path) -> Outputs:
    """Names for an input: X_sr.nii.gz and so on in a folder, or those of a name ending in .nii.gz."""
    return volume_names(path, output, "sr")
