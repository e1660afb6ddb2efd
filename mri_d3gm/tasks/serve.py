"""Beside a scanner: what all connections share, what a client may ask for, and images of readouts as messages."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Condition
from typing import Any, NamedTuple

import numpy as np
from ismrmrd import AcquisitionHeader, Image

from mri_d3gm import pipeline
from mri_d3gm.compute import at_once, resolve_device
from mri_d3gm.errors import InputError
from mri_d3gm.io.dicom.dicom_planes import scale_of
from mri_d3gm.io.dicom.write_dicom import COMMENTS
from mri_d3gm.io.open_scan import scan_of_array
from mri_d3gm.io.raw.mrd_stream import Plane, image_of, plane_of
from mri_d3gm.io.scan import Scan
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.runs.bounds import bounds_of
from mri_d3gm.runs.model import load
from mri_d3gm.runs.progress import each
from mri_d3gm.settings import QUALITIES, Recon
from mri_d3gm.tasks.per_slice import per_slice
from mri_d3gm.tasks.recon import COIL_BYTES, PIXEL_BYTES, Slice, reconstruct_slice

STREAMED = ("d3gm", "regression", "zero-filled", "pocs")  # the others take minutes, or one at a time
CLIENT = ("method", "quality", "steps", "samples", "trust", "solver", "seed")  # options that a client may ask for
SERIES = {"image": 1, "std": 2, "zero_filled": 3}
EVALUATIONS = 256  # of the network for a slice, that a client may ask for
USUAL = 512 * 512 * (PIXEL_BYTES + 16 * COIL_BYTES)  # bytes that a slice takes


class Wanted(NamedTuple):
    """How a client's slices are reconstructed, and which of SERIES are sent."""

    settings: Recon
    series: tuple[str, ...]


class Slots:
    """How many slices are worked on at once, of all connections together, and the threads of each."""

    def __init__(self, threads: int) -> None:
        self.threads, self.running, self.free = threads, 0, Condition()

    @contextmanager
    def one(self) -> Iterator[int]:
        """Wait for a slot; the threads that a slice may have in it."""
        with self.free:
            self.free.wait_for(lambda: self.running < self.threads)
            self.running += 1
            threads = max(1, self.threads // self.running)
        try:
            yield threads
        finally:
            with self.free:
                self.running -= 1
                self.free.notify()


class Model(NamedTuple):
    """What all connections share: the options that the server was started with, its network, and the slots."""

    options: Mapping[str, Any]
    series: tuple[str, ...]
    network: Denoiser
    slots: Slots


def started(options: Mapping[str, Any], series: tuple[str, ...]) -> Model:
    """The model of options, those of `Recon` by name; loaded and run once, so that the first slice does not wait for that."""
    settings = settings_of(options)
    slots = Slots(at_once(settings.threads, resolve_device(settings.device), USUAL))
    model = Model(options, series, load(settings), slots)
    random = np.random.default_rng(0)
    kspace = random.normal(size=(1, 4, 64, 64)) + 1j * random.normal(size=(1, 4, 64, 64))
    slices_of(scan_of_array(kspace, (np.arange(64) % 2 == 0) | (abs(np.arange(64) - 32) < 8)), settings, model)
    return model


def settings_of(options: Mapping[str, Any]) -> Recon:
    """Settings for a stream, whose slices are never undersampled further."""
    settings = Recon.of({**options, "accel": 1.0})
    if settings.method not in STREAMED:
        raise InputError(f"--method {settings.method}: is not for streams; one of {', '.join(STREAMED)}")
    return settings


def wanted(text: str, model: Model) -> tuple[Wanted, str]:
    """What a configuration asks for, and what to say of it.

    A name is that of a quality; JSON holds options by name. Anything else, such as the configurations that clients have for
    other servers, leaves what the server was started with. InputError for JSON that cannot be used.
    """
    name = text.strip()
    asked = {"quality": name} if name in QUALITIES else _options(name) if name.startswith("{") else {}
    series = tuple(one for one in SERIES if asked.pop(one, one in model.series))
    own = dict(model.options)
    if "quality" in asked:
        own = {key: value for key, value in own.items() if key not in QUALITIES["default"]}
    settings = settings_of({**own, **asked})
    if asked and (settings.steps or 1) * (settings.samples or 1) > EVALUATIONS:
        raise InputError(f"configuration: steps times samples may be {EVALUATIONS} at most")
    known = not name or name in QUALITIES or name.startswith("{")
    return Wanted(settings, series), "" if known else "the configuration is unknown here: the server's own is used"


def _options(text: str) -> dict[str, Any]:
    """Options of a client out of JSON."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("configuration: starts as JSON and is none") from error
    flags = [name for name in SERIES if name != "image"]
    unknown = [key for key in found if key not in (*CLIENT, *flags)]
    if unknown:
        raise InputError(f"configuration: {unknown[0][:40]} is no option; one of {', '.join((*CLIENT, *flags))}")
    wrong = [name for name in flags if not isinstance(found.get(name, True), bool)]
    if wrong:
        raise InputError(f"configuration: {wrong[0]} must be true or false")
    return dict(found)


def slices_of(scan: Scan, settings: Recon, model: Model) -> list[Slice]:
    """All images of a scan, on as many threads as there are for them."""

    def one(index: int, **parallel: Any) -> Slice:
        mask, _ = pipeline.sampling(scan, settings, index)
        return reconstruct_slice(scan, index, mask, settings, model.network, **parallel)

    with model.slots.one() as threads:
        return each(one, range(scan.slices), threads, None)


class Pictures:
    """Slices as messages of images; of each series one window, that of its brightest image so far, and how many there were."""

    def __init__(self) -> None:
        self.count, self.high = 0, dict[str, float]()

    def of(self, scan: Scan, slices: list[Slice], head: AcquisitionHeader, asked: Wanted) -> list[Image]:
        """One of each series that there is, of a slice or of all slices of a 3-D scan; head: of a readout, to be copied."""
        solid, method = scan.slices > 1, asked.settings.method
        where, self.count = place_of(scan), self.count + 1
        made = []
        for name in asked.series:
            arrays = [found for one in slices if (found := getattr(one, name)) is not None]
            if len(arrays) < len(slices):
                continue
            array = np.stack(arrays) if solid else arrays[0][..., None]
            meta = attributes(name, method, self._window(name, array))
            if name == "image" and not solid:
                meta |= remarks(slices[0], asked.settings, scan.coils)
            made.append(image_of(array, head, where, meta, image_index=self.count, image_series_index=SERIES[name]))
        return made

    def _window(self, name: str, array: np.ndarray) -> float:
        self.high[name] = max(self.high.get(name, 0.0), scale_of(array).high)
        return self.high[name]


def attributes(name: str, method: str, high: float) -> dict[str, Any]:
    """MRD's attributes of an image of a series, shown from 0 to `high`: in whole numbers, as MRD has them, if that is large."""
    kind, word = ("RECON", method) if name == "image" else ("STD", method) if name == "std" else ("RECON", "zero-filled")
    centre, width = (high / 2, high) if high < 100 else (round(high / 2), round(high))
    return {
        "DataRole": "Quantitative" if name == "std" else "Image",
        "ImageType": [kind, word.upper()],
        "SeriesDescriptionAdditional": f"{word} std" if name == "std" else word,
        "ImageComments": COMMENTS,
        "WindowCenter": centre,
        "WindowWidth": width,
    }


def remarks(one: Slice, settings: Recon, coils: int) -> dict[str, Any]:
    """How far to trust a slice, of what a sidecar says of it."""
    record = per_slice([(0, 0)], [one.facts], bounds_of(settings, coils).get("slice"))[0]
    names = ("Light", "ErrorBelow", "WithheldError", "Flags")
    return {name: record[name] for name in names if record.get(name) not in (None, [])}


def place_of(scan: Scan) -> Plane:
    """Where the image, or the 3-D volume, of a scan is, along readout, phase encode and across."""
    (rows, cols), (row, col, across) = scan.recon_shape, scan.voxel_mm
    if scan.slices > 1:  # slices along the readout, of lines and partitions
        return plane_of(scan.affine[:, [2, 1, 0, 3]], (scan.slices, rows, cols), (across, row, col), scan.position_known)
    return plane_of(scan.affine[:, [1, 0, 2, 3]], (rows, cols, 1), (row, col, across), scan.position_known)
