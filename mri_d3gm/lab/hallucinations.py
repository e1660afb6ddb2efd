"""What reconstructions lose and invent: lesions inserted before undersampling, contrast where there was none, and sFRC.

Every slice is reconstructed without lesions and, under the same mask and seed, with a set of them for each size of contrast.
Nothing of that is written next to the input.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mri_d3gm import pipeline
from mri_d3gm.compute import at_once, resolve_device
from mri_d3gm.errors import InputError
from mri_d3gm.io.coil_maps import coil_maps_of
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.scan import Scan, fft1c, ifft1c, read_reference
from mri_d3gm.io.spikes import mended
from mri_d3gm.lab.benchmark import Job, distinct, entries, folder_protocol
from mri_d3gm.lab.hallucination_tables import Shown, cut, write_results
from mri_d3gm.metrics.body import body_mask
from mri_d3gm.metrics.lesions import Centre, apart, contrast_map, detected, mean_map, place, room, soft_disc, spread
from mri_d3gm.metrics.sfrc import CUTOFF, around, patch_cutoff, scan_patches
from mri_d3gm.metrics.table import Row
from mri_d3gm.networks.weights import load_weights
from mri_d3gm.runs.model import load
from mri_d3gm.runs.names import make_folder, told_apart
from mri_d3gm.settings import LEARNED, Recon, chosen_slices
from mri_d3gm.tasks.recon import COIL_BYTES, PIXEL_BYTES, reconstruct_slice

RADII, CONTRASTS = (2.0, 3.0, 5.0, 8.0), (-0.4, -0.2, 0.2, 0.4)  # pixels; of the local intensity
KEPT, TIMES = 0.5, 2.0  # of a lesion's contrast that must be kept, and of the spread that it must exceed
MISS = ("reference", "reference with it", "reconstructed", "reconstructed with it")
INVENTION = ("error", "reconstructed", "reference")
FLAT = 0.5  # of the smallest contrast: what the reference may have at a place where it counts as having none


class Contender(NamedTuple):
    """A method by the name that tables have for it, and the options of `Recon` that it differs by."""

    name: str
    options: Row


class Lesion(NamedTuple):
    """A soft disc in the image that is written; radius in pixels, contrast a fraction of the local intensity."""

    centre: Centre
    radius: float
    contrast: float


class Truth(NamedTuple):
    """A fully sampled slice: its reference (rows, cols), its body, where a lesion of each radius has room, its sets of
    lesions, and the smallest size of a contrast.
    """

    scan: Scan
    slice_: int
    reference: np.ndarray
    body: np.ndarray
    rooms: dict[float, np.ndarray]
    sets: list[list[Lesion]]
    smallest: float


class Found(NamedTuple):
    """Rows of one slice by one method, and the places of its worst miss and invention to show, where it has any."""

    lesions: list[Row]
    inventions: list[Row]
    sfrc: Row
    miss: Shown | None
    invention: Shown | None


def measure_hallucinations(
    data: Path,
    output: Path,
    accels: Sequence[float],
    methods: Sequence[str],
    options: Row,
    *,
    peers: Sequence[str] = (),
    radii: Sequence[float] = RADII,
    contrasts: Sequence[float] = CONTRASTS,
    on_row: Callable[[Found, int, int], None] = lambda found, done, total: None,
) -> list[Row]:
    """The rows of detection, after tables and pictures were written to the folder `output`; see `write_results`.

    data: a folder of fully sampled scans, or one; a file and its copies count once, as do values given twice. peers: weights
    files of other networks, each evaluated once. options: keywords of `Recon` for all methods; its seed draws masks and places.
    on_row(found, done, all) after each slice by each method. InputError for what cannot be used.
    """
    if not radii or not contrasts or min(radii) < 1 or 0 in contrasts or min(contrasts) <= -1:
        raise InputError("--radius must be 1 pixel or more, --contrast above -1 and not 0")
    accels, radii, contrasts = (list(dict.fromkeys(given)) for given in (accels, radii, contrasts))
    contenders = [Contender(name, {"method": name}) for name in dict.fromkeys(methods)] + peers_of(peers)
    settings = [Recon.of(options | one.options | {"accel": accel}) for accel in accels for one in contenders]
    names = [one.name for _ in accels for one in contenders]
    jobs = (Job(path, name, settings[0]) for _, _, path, name in entries(data, folder_protocol(accels[:1], [])))
    scans = [(job.name["file"], mended(open_scan(job.path))) for job in distinct(jobs)]
    undersampled = next((scan for _, scan in scans if scan.mask is not None), None)
    if undersampled is not None:
        raise InputError(f"{undersampled.name}: undersampled, so lesions cannot be put into it; leave it out of the folder")
    slices = [
        (file, scan, index) for file, scan in scans for index in chosen_slices(scan.name, scan.slices, settings[0].slices)
    ]
    make_folder(output / "hallucinations.csv")
    found: list[Found] = []
    for number, (file, scan, index) in enumerate(slices):
        truth = prepare_truth(scan, index, radii, contrasts, settings[0].seed)
        for place_, (name, one) in enumerate(zip(names, settings, strict=True), 1):
            if truth is None:
                continue
            row = {"file": file, "slice": index, "accel": one.accel, "method": name}
            found.append(measure_slice(truth, one, row))
            on_row(found[-1], number * len(settings) + place_, len(slices) * len(settings))
    lesions, inventions = ([row for one in found for row in getattr(one, name)] for name in ("lesions", "inventions"))
    if not lesions:
        raise InputError(f"{data}: no slice has room for a lesion inside the body; give larger images or a smaller --radius")
    shown = {
        "worst_misses": [one.miss for one in found if one.miss is not None],
        "worst_inventions": [one.invention for one in found if one.invention is not None],
    }
    return write_results(lesions, inventions, [one.sfrc for one in found], shown, output)


def peers_of(files: Sequence[str]) -> list[Contender]:
    """A contender for each weights file, named as its network, or as its file where several have one network."""
    files = list(dict.fromkeys(files))
    networks = [str(load_weights(file)[0].config["network"]) for file in files]
    stems = told_apart([str(Path(file).with_suffix("")) for file in files])
    names = [name if networks.count(name) == 1 else stem for name, stem in zip(networks, stems, strict=True)]
    return [Contender(name, {"method": "regression", "weights": file}) for name, file in zip(names, files, strict=True)]


def prepare_truth(scan: Scan, index: int, radii: Sequence[float], contrasts: Sequence[float], seed: int) -> Truth | None:
    """A slice with sets of lesions, one for every size of contrast, of every radius and both signs where there is room; None
    for an empty slice.

    Places follow from the seed and the number of the slice.
    """
    scan = replace(scan, read_reference=None)
    reference = read_reference(scan, index)
    assert reference is not None
    if not reference.any():
        return None
    body = body_mask(reference, float(reference.max()))
    rooms = {radius: room(reference, body, radius) for radius in radii}
    generator = np.random.default_rng([seed, index])
    sets = []
    for size in dict.fromkeys(map(abs, contrasts)):
        wanted = [(radius, contrast) for contrast in contrasts if abs(contrast) == size for radius in radii]
        centres = place([radius for radius, _ in wanted], rooms, generator)
        sets.append([Lesion(c, *what) for c, what in zip(centres, wanted, strict=True) if c is not None])
    return Truth(scan, index, reference, body, rooms, sets, min(map(abs, contrasts)))


def with_lesions(scan: Scan, lesions: Sequence[Lesion]) -> Scan:
    """The scan of an object that has the lesions too, in every slice.

    Every coil's image is scaled at their places, so that coil sensitivities, phase and texture stay as they are.
    """
    gain = np.ones(scan.recon_shape)
    for lesion in lesions:
        gain *= 1 + lesion.contrast * soft_disc(scan.recon_shape, lesion.centre, lesion.radius)
    before = [(size - shown) // 2 for size, shown in zip((scan.rows, scan.cols), scan.recon_shape, strict=True)]
    after = [size - shown - start for size, shown, start in zip((scan.rows, scan.cols), scan.recon_shape, before, strict=True)]
    gain = np.pad(gain, list(zip(before, after, strict=True)), constant_values=1)

    def read(index: int) -> np.ndarray:
        images = ifft1c(ifft1c(scan.read(index), -2), -1) * gain
        return fft1c(fft1c(images, -2), -1).astype(np.complex64)

    return replace(scan, read=read)


def image_of(scan: Scan, index: int, settings: Recon) -> np.ndarray:
    """The reconstruction of one slice, (rows, cols) magnitude."""
    mask, _ = pipeline.sampling(scan, settings)
    network = load(settings) if settings.method in LEARNED else None
    memory = scan.rows * scan.cols * (PIXEL_BYTES + COIL_BYTES * scan.coils)
    threads = at_once(settings.threads, resolve_device(settings.device), memory)
    maps = coil_maps_of(scan, settings.coil_maps, index)
    return reconstruct_slice(scan, index, mask, settings, network, coil_maps=maps, threads=threads).image


def measure_slice(truth: Truth, settings: Recon, row: Row) -> Found:
    """One slice by one method; row: what its rows begin with."""
    without = image_of(truth.scan, truth.slice_, settings)
    lesions: list[Row] = []
    miss: Shown | None = None
    for placed in truth.sets:
        scan = with_lesions(truth.scan, placed)
        reference = read_reference(scan, truth.slice_)
        assert reference is not None
        image = image_of(scan, truth.slice_, settings)
        for line, lesion in zip(measure_lesions(truth, placed, (reference, image), without), placed, strict=True):
            lesions.append(row | line)
            badness = lesion.radius * abs(lesion.contrast) * (1 - line["kept"])
            if not line["detected"] and (miss is None or badness > miss.badness):
                parts = [cut(picture, lesion.centre) for picture in (truth.reference, reference, without, image)]
                miss = Shown(badness, row | line, dict(zip(MISS, parts, strict=True)))
    inventions, invention = measure_inventions(truth, without, row)
    patches = scan_patches(truth.reference, without, truth.body)
    sfrc = row | {
        "patches": len(patches.cutoffs),
        "flagged": int(patches.flagged().sum()),
        "median_cutoff": round(float(np.median(patches.cutoffs)), 3) if len(patches.cutoffs) else float("nan"),
    }
    return Found(lesions, inventions, sfrc, miss, invention)


def measure_lesions(
    truth: Truth, placed: Sequence[Lesion], pair: tuple[np.ndarray, np.ndarray], without: np.ndarray
) -> list[Row]:
    """A row for each lesion of a set: what of its contrast is kept, against the spread at places without a lesion.

    pair: reference and reconstruction with the lesions; without: the reconstruction without them.
    """
    reference, image = pair
    occupied = [(lesion.centre, lesion.radius) for lesion in placed]
    spacing = float(np.sqrt(truth.scan.voxel_mm[0] * truth.scan.voxel_mm[1]))
    rows = []
    for lesion in placed:
        true = contrast_map(reference - truth.reference, lesion.radius)[lesion.centre]
        change = contrast_map(image - without, lesion.radius)
        noise = spread(change, apart(truth.rooms[lesion.radius], occupied, lesion.radius))
        kept = float(change[lesion.centre] / true)
        corner, size = around(lesion.centre, truth.reference.shape)
        rows.append(
            {
                "radius": lesion.radius,
                "radius_mm": round(lesion.radius * spacing, 2),
                "contrast": lesion.contrast,
                "row": lesion.centre[0],
                "column": lesion.centre[1],
                "kept": round(kept, 4),
                "spread": round(noise / abs(float(true)), 4),
                "detected": detected(kept, float(change[lesion.centre]), noise, KEPT, TIMES),
                "flagged": patch_cutoff(reference, image, corner, size) < CUTOFF,
            }
        )
    return rows


def measure_inventions(truth: Truth, image: np.ndarray, row: Row) -> tuple[list[Row], Shown | None]:
    """A row for each radius: contrast that the reconstruction adds where the reference has none, and the worst such place.

    Contrast is relative to the local intensity times the smallest contrast; half of it would count as a lesion.
    """
    rows: list[Row] = []
    worst: Shown | None = None
    for radius, where in truth.rooms.items():
        with np.errstate(divide="ignore", invalid="ignore"):
            unit = mean_map(truth.reference, radius) * truth.smallest
            flat = where & (abs(contrast_map(truth.reference, radius) / unit) < FLAT)
            invented = np.where(flat, abs(contrast_map(image - truth.reference, radius) / unit), 0.0)
        if not flat.any():
            continue
        sizes = invented[flat]
        line = row | {"radius": radius, "places": len(sizes), "median": round(float(np.median(sizes)), 4)}
        line |= {"p95": round(float(np.quantile(sizes, 0.95)), 4), "rate": round(float((sizes > KEPT).mean()), 4)}
        rows.append(line)
        top = float(sizes.max())
        if worst is None or top > worst.badness:
            at, column = map(int, np.unravel_index(int(invented.argmax()), invented.shape))
            said = line | {"row": at, "column": column, "invented": round(top * truth.smallest, 3)}
            parts = [cut(picture, (at, column)) for picture in (abs(image - truth.reference), image, truth.reference)]
            worst = Shown(top, said, dict(zip(INVENTION, parts, strict=True)))
    return rows, worst
