"""Reconstruction: settings and a scan to images; a file to a volume, its std map, sidecar and preview."""

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from mri_d3gm import pipeline
from mri_d3gm.compute import Progress, at_once, in_one_batch, in_parallel, resolve_device
from mri_d3gm.io.coil_maps import coil_maps_of, exchanged_coil_maps
from mri_d3gm.io.dicom.dicom_study import study_of_scan
from mri_d3gm.io.given_mask import check_marked
from mri_d3gm.io.image import Image
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.preview import write_preview
from mri_d3gm.io.report import write_report
from mri_d3gm.io.save_image import save_image
from mri_d3gm.io.scan import Scan, cropped, read_reference, slices_of
from mri_d3gm.io.sidecar import write_sidecar
from mri_d3gm.io.spikes import Spike, without_spikes
from mri_d3gm.methods.draws import Draws, SecondLook
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.runs.model import load
from mri_d3gm.runs.names import Outputs, volume_names
from mri_d3gm.runs.progress import each
from mri_d3gm.runs.record import once
from mri_d3gm.settings import LEARNED, Recon, chosen_images, chosen_slices
from mri_d3gm.tasks.dicom import Volume, check_dicom, write_dicom
from mri_d3gm.tasks.evidence import centreless, evidence
from mri_d3gm.tasks.recon_record import describe, scores

PIXEL_BYTES, COIL_BYTES = 1100, 160  # that a slice takes for each pixel, and for each of its coils: measured
ALONE = ("sense", "l1-wavelet", "tv")  # sigpy draws from numpy's one generator


class Reconstruction(NamedTuple):
    """Arrays (slices, rows, cols), or (frames, slices, rows, cols) of several frames, float32 in the data's units, phase in
    radians, on the grid of `affine` (from column, row, slice to mm, RAS), and the record that the sidecar holds.
    """

    volume: np.ndarray
    std: np.ndarray | None
    phase: np.ndarray
    zero_filled: np.ndarray
    reference: np.ndarray | None
    affine: np.ndarray
    record: dict[str, Any]


class Ready(NamedTuple):
    """A slice to be solved, as a batch of one, None where it is empty, its reference (rows, cols) if it has one, its spikes."""

    prepared: pipeline.Prepared | None
    reference: np.ndarray | None
    spikes: Sequence[Spike] = ()


class Slice(NamedTuple):
    """What became of one slice, images (rows, cols) cropped; facts None where it was empty."""

    image: np.ndarray
    std: np.ndarray | None
    phase: np.ndarray
    zero_filled: np.ndarray
    reference: np.ndarray | None
    facts: dict[str, Any] | None


def reconstruct(
    scan: Scan,
    settings: Recon,
    *,
    coil_maps: np.ndarray | None = None,
    network: Denoiser | None = None,
    progress: Progress | None = None,
    solve: Callable[..., Draws] | None = None,
    batch: int | None = None,
) -> Reconstruction:
    """Reconstruct a scan, on a CPU as many slices at once as settings.threads says, on a GPU batches of slices that as many
    threads prepare.

    coil_maps: (coils, rows, cols) or one set a slice, in place of those that are estimated or that settings name a file of;
    network: loaded already (`load_network`). progress(done, total) counts evaluations. solve: in place of `pipeline.solve`.
    batch: slices of one batch, in place of `in_one_batch`. InputError for what cannot be used.
    """
    started = time.monotonic()
    chosen, device = chosen_images(scan, settings), resolve_device(settings.device)
    network = load(settings) if network is None and settings.method in LEARNED else network
    memory = scan.rows * scan.cols * (PIXEL_BYTES + COIL_BYTES * scan.coils)
    threads = 1 if settings.method in ALONE else at_once(settings.threads, device, memory)
    preparing = 1 if device == "cpu" else at_once(settings.threads, "cpu", memory)
    size = batch or in_one_batch(device, memory)
    shared, _ = pipeline.sampling(scan, settings)

    def maps_of(index: int) -> np.ndarray | None:
        if coil_maps is None:
            return coil_maps_of(scan, settings.coil_maps, index)
        return coil_maps[index % len(coil_maps)] if coil_maps.ndim == 4 else coil_maps

    def ready(index: int) -> Ready:
        return ready_slice(scan, index, shared if scan.masks is None else scan.masks(index), maps_of(index))

    def some(indices: Sequence[int], **parallel: Any) -> list[Slice]:
        every = list(in_parallel(ready, indices, preparing))
        return solve_slices(scan, indices, every, settings, network, solve=solve, **parallel)

    given = settings.coil_maps if coil_maps is None else coil_maps
    if given is not None:
        check_given_maps(scan, settings, given, maps_of)
    groups = [chosen[start : start + size] for start in range(0, len(chosen), size)]
    slices = list(chain.from_iterable(each(some, groups, threads, progress)))
    return assemble(scan, settings, slices, time.monotonic() - started)


def check_given_maps(
    scan: Scan, settings: Recon, given: np.ndarray | str | Path, maps_of: Callable[[int], np.ndarray | None]
) -> None:
    """InputError where the middle one of the images with signal contradicts the maps of it, out of an array or a file."""
    chosen = chosen_images(scan, settings)
    for index in sorted(chosen, key=lambda index: abs(index - chosen[len(chosen) // 2])):
        mask, _ = pipeline.sampling(scan, settings, index)
        data, maps = without_spikes(scan.read(index))[0], maps_of(index)
        if (data * mask).any() and maps is not None:
            exchanged = exchanged_coil_maps(given, scan, index % scan.slices)
            name = None if isinstance(given, np.ndarray) else given
            pipeline.check_coil_maps(torch.from_numpy(data), torch.from_numpy(mask), maps, exchanged, name)
            return


def assemble(scan: Scan, settings: Recon, slices: Sequence[Slice], seconds: float) -> Reconstruction:
    """The volume of all chosen slices in their order, scored where there is a reference, and its record."""
    chosen = chosen_slices(scan.name, scan.slices, settings.slices)
    volume, zero_filled, phase = (
        np.stack([getattr(one, name) for one in slices]) for name in ("image", "zero_filled", "phase")
    )
    std = None
    if any(one.std is not None for one in slices):
        std = np.stack([np.zeros_like(one.image) if one.std is None else one.std for one in slices])
    known = [one.reference for one in slices if one.reference is not None]
    reference = np.stack(known) if known else None
    record = describe(scan, settings, [one.facts for one in slices]) | {"Seconds": round(seconds, 2)}
    if reference is not None and reference.any():
        record |= {"Metrics": scores(reference, volume), "MetricsZeroFilled": scores(reference, zero_filled)}

    def framed(array: np.ndarray) -> np.ndarray:
        return array if scan.frames == 1 else array.reshape(-1, len(chosen), *array.shape[1:])

    std, reference = (None if array is None else framed(array) for array in (std, reference))
    affine = slices_of(scan.affine, chosen)
    return Reconstruction(framed(volume), std, framed(phase), framed(zero_filled), reference, affine, record)


def reconstruct_slice(
    scan: Scan,
    index: int,
    mask: np.ndarray,
    settings: Recon,
    network: Denoiser | None = None,
    *,
    coil_maps: np.ndarray | None = None,
    threads: int = 1,
    progress: Progress | None = None,
    solve: Callable[..., Draws] | None = None,
) -> Slice:
    """One slice under a mask (rows | 1, cols | 1), its draws `threads` at a time; an empty one stays empty."""
    every = [ready_slice(scan, index, mask, coil_maps)]
    return solve_slices(scan, [index], every, settings, network, threads=threads, progress=progress, solve=solve)[0]


def ready_slice(scan: Scan, index: int, mask: np.ndarray, coil_maps: np.ndarray | None = None) -> Ready:
    """Read and prepare one slice under a mask (rows | 1, cols | 1), without spikes."""
    data, spikes = without_spikes(scan.read(index))
    reference = read_reference(replace(scan, read=lambda _: data), index)
    if not (data * mask).any():
        if scan.mask is not None:
            check_marked(scan.name, index, data, data * mask)
        return Ready(None, reference)
    calibration = None
    if scan.calibration is not None:
        calibration, more = without_spikes(scan.calibration(index))
        spikes = [*spikes, *(spike for spike in more if spike[:3] not in {one[:3] for one in spikes})]
    return Ready(prepare_slice(scan, data, mask, coil_maps, calibration), reference, spikes)


def solve_slices(
    scan: Scan,
    indices: Sequence[int],
    ready: Sequence[Ready],
    settings: Recon,
    network: Denoiser | None = None,
    *,
    threads: int = 1,
    progress: Progress | None = None,
    solve: Callable[..., Draws] | None = None,
) -> list[Slice]:
    """Slices by their indices, those that are alike as one batch, its draws `threads` at a time; empty ones stay empty."""
    batches: dict[Hashable, list[int]] = defaultdict(list)
    for place, one in enumerate(ready):
        if one.prepared is not None:
            batches[likeness(one.prepared)].append(place)
    slices = [empty_slice(scan, one.reference) for one in ready]
    for places in batches.values():
        prepared = [found for place in places if (found := ready[place].prepared) is not None]
        first, *others = (own.measurement for own in prepared)
        measurement = first.joined(others).to(resolve_device(settings.device))
        numbers = [indices[place] if scan.number is None else scan.number(indices[place]) for place in places]
        draws = (solve or pipeline.solve)(
            measurement, network, settings, numbers, run=lambda f, items: in_parallel(f, items, threads), progress=progress
        )
        for number, (place, own) in enumerate(zip(places, prepared, strict=True)):
            slices[place] = finished_slice(scan, own, draws.one(number), ready[place].reference, ready[place].spikes)
    return slices


def likeness(prepared: pipeline.Prepared) -> Hashable:
    """What slices, batches of one, must share to be solved as one batch as they are alone: shapes, mask and network."""
    measurement = prepared.measurement
    shapes = tuple((name, tensor.shape) for name, tensor in measurement.tensors().items())
    return shapes, measurement.sampled().numpy().tobytes(), bool(measurement.smooth_phase())


def empty_slice(scan: Scan, reference: np.ndarray | None) -> Slice:
    """A slice of zeros, of which nothing is said."""
    empty = np.zeros(scan.recon_shape, np.float32)
    return Slice(empty, None, empty, empty, reference, None)


def finished_slice(
    scan: Scan, prepared: pipeline.Prepared, draws: Draws, reference: np.ndarray | None, spikes: Sequence[Spike] = ()
) -> Slice:
    """A solved batch of one, cropped, and what the sidecar tells of it; noise and residual in the data's units."""
    images, std, phases = pipeline.finish(draws, prepared.scale, prepared.noise)
    scale, measurement, maps = float(prepared.scale[0]), prepared.measurement, prepared.map_sources[0]
    second = draws.second[0] if draws.second else SecondLook(0)
    if draws.measurement is not None and measurement.poorly_calibrated:
        maps = "recalibrated"
        measurement = measurement if second.instead else draws.measurement
    if second.instead == "low-resolution":
        measurement = measurement.coarser() or measurement
    if second.instead:
        maps = f"{second.instead} in place of {maps}"
    explained = [] if second.instead == "none" else measurement.explained()
    if prepared.fits and not second.instead:
        explained = list(prepared.fits[0]) or explained
    facts = {
        "evaluations": draws.evaluations + second.evaluations,
        "residual": None if draws.residual is None else float(draws.residual[0]) * scale,
        "support": None if draws.support is None else draws.support[0],
        "coil_maps": maps,
        "explained": explained,
        "sets": 0 if second.instead == "none" else measurement.map_sets,
        "second_look": second.evaluations > 0,
        "smooth": bool(measurement.smooth_phase().all()),
        "noise": prepared.noise[0],
        "sigma": prepared.noise[0].sigma * scale,
        "centreless": centreless(measurement),
        "spikes": spikes,
        "evidence": None if std is None else evidence(images[0] / scale, std[0] / scale, prepared, draws),
    }
    image, phase, zero_filled = (cropped(array[0], scan) for array in (images, phases, pipeline.zero_filled(prepared)))
    facts |= {"rms": float(np.sqrt(np.mean(image.astype(np.float64) ** 2))), "peak": float(image.max())}
    return Slice(image, None if std is None else cropped(std[0], scan), phase, zero_filled, reference, facts)


def prepare_slice(
    scan: Scan,
    data: np.ndarray,
    mask: np.ndarray,
    coil_maps: np.ndarray | None = None,
    calibration: np.ndarray | None = None,
) -> pipeline.Prepared:
    """K-space (coils, rows, cols) of a scan under a mask as a batch of one, with what the scan knows of noise and coverage."""
    outside = scan.outside()
    return pipeline.prepare(
        torch.from_numpy(data)[None],
        torch.from_numpy(mask),
        outside=None if outside is None else torch.from_numpy(outside),
        coil_maps=None if coil_maps is None else torch.as_tensor(coil_maps)[None],
        noise=pipeline.noise_of(scan),
        calibration=None if calibration is None else torch.from_numpy(calibration)[None],
    )


def reconstruct_file(
    path: str | Path, settings: Recon, names: Outputs, *, overwrite: bool = False, progress: Progress | None = None
) -> tuple[dict[str, Any], bool]:
    """Reconstruct a file and write what `names` says; the record, and whether it was there already.

    InputError for input that cannot be used, for names that cannot be written, and for files of another run.
    """
    scan = open_scan(path, settings.reading())
    check_dicom(settings, study_of_scan(scan), (str(path), scan.affine, 2))
    parts: dict[str, Scan] = dict(scan.parts) or {"": scan}
    done = []
    for order, (entities, part) in enumerate(parts.items()):
        named = names.of_part(entities)
        work = partial(reconstruct, part, settings, progress=progress)
        done.append(
            once(
                named,
                settings,
                part.files,
                work,
                partial(write, scan=part, names=named, settings=settings, part=entities, order=order),
                overwrite,
            )
        )
    record, before = done[0][0], all(there for _, there in done)
    return (record | {"Parts": list(parts)} if scan.parts else record), before


def write(
    result: Reconstruction, scan: Scan, names: Outputs, settings: Recon, part: str = "", order: int = 0
) -> dict[str, Any]:
    """Write volume, std, preview, DICOM and, last, the sidecar that marks them complete; the record that it holds.

    part: BIDS entities where it is one of several results, and order: which, from 0.
    """
    record, volume, own = result.record, result.volume, study_of_scan(scan)
    record = record | {"Warnings": [*record["Warnings"], *check_dicom(settings, own, (scan.name, scan.affine, 2))]}
    known = "" if scan.position_known else "; position unknown"
    description = f"mri-d3gm {record['Method']} R={record['Sampling']['AccelerationAchieved']:g}{known}"
    code, frames = 1 if scan.position_known else 2, chosen_slices(scan.name, scan.frames, settings.frames, "--frames")
    step = None if scan.time_step is None else scan.time_step * abs(frames.step)
    contrasts = tuple(scan.contrasts[frame] for frame in frames) if scan.contrasts else ()

    def save(name: Path, array: np.ndarray, text: str) -> None:
        save_image(name, Image(array.T, result.affine, (), "", step), code, text)

    save(names.result, volume, description)
    if names.std is not None and result.std is not None:
        save(names.std, result.std, "expected std of the error; " + description)
    if names.phase is not None and settings.complex:
        save(names.phase, result.phase, "phase in radians; " + description)
    if names.dicom is not None and settings.dicom is not None:
        std = None if result.std is None else result.std.T
        sibling = sibling_of(result, scan, settings)
        shown = Volume(volume.T, std, result.affine, 2, scan.position_known, sibling, part, order, step, contrasts)
        write_dicom(names.dicom, shown, settings, own, record)
    if names.preview is not None:
        title = f"{record['Input']['File']}  {description}"
        sides = "orientation as the file's rows and columns" if scan.position_known else "left/right unknown"
        write_preview(names.preview, panels_of(result), title, scan.voxel_mm[:2], f"{sides}; not for diagnosis")
    if names.report is not None and settings.report:
        arrays = {"result": volume, "plain": result.zero_filled, "reference": result.reference, "std": result.std}
        there = {role: array.T for role, array in arrays.items() if array is not None}
        write_report(names.report, record, there, result.affine, sides_known=scan.position_known)
    write_sidecar(names.sidecar, record)
    return record


def sibling_of(result: Reconstruction, scan: Scan, settings: Recon) -> tuple[str, np.ndarray] | None:
    """The image without a network that is to be shown next to a result, by its method, (i, j, k[, t])."""
    if settings.sibling is None:
        return None
    if settings.sibling == "zero-filled":
        return settings.sibling, result.zero_filled.T
    return settings.sibling, reconstruct(scan, replace(settings, method=settings.sibling, sibling=None)).volume.T


def panels_of(result: Reconstruction) -> dict[str, np.ndarray]:
    """Pictures (rows, cols) of a preview, by title: of the filled image that is nearest to the middle."""
    names = {"zero_filled": "zero-filled", "volume": result.record["Method"], "std": "std", "reference": "reference"}
    every = {title: getattr(result, name) for name, title in names.items() if getattr(result, name) is not None}
    images = {title: array.reshape(-1, *array.shape[-2:]) for title, array in every.items()}
    shown = images[result.record["Method"]]
    filled = np.flatnonzero(shown.any((1, 2)))
    middle = int(filled[np.abs(filled - len(shown) // 2).argmin()]) if len(filled) else 0
    panels = {title: array[middle] for title, array in images.items()}
    if result.reference is not None:
        panels["error"] = np.abs(panels[result.record["Method"]] - panels["reference"])
    return panels


def names_of(path: str | Path, output: str | Path) -> Outputs:
    """Names for an input: X_recon.nii.gz and so on in a folder, or those of a name ending in .nii.gz."""
    names = volume_names(path, output, "recon")
    return names._replace(phase=names.of_part("phase").result)
