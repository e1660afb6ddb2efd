"""Every option of recon, sr and restore, once: its default, range and help.

Command lines, Python's keywords, the bundles' ids, the fingerprint in the sidecar and the tables of the docs are made from, or
tested against, these classes.
"""

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cache
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar, Self, get_args, get_type_hints

from mri_d3gm.errors import InputError
from mri_d3gm.io.scan import Reading, Scan

RECON_METHODS = ("d3gm", "regression", "zero-filled", "pocs", "sense", "l1-wavelet", "tv")
INTERPOLATIONS = ("nearest", "linear", "cubic", "lanczos")
SR_METHODS = ("d3gm", "regression", "sinc", *INTERPOLATIONS)
RESTORATION_METHODS = ("d3gm", "regression", "identity", "dark-channel", "median")
SOLVERS = ("posterior", "deterministic", "multistep", "multistep-sde", "euler-maruyama")
LEAST_STEPS = 10  # of Euler-Maruyama, unless one: docs/mathematics.md#solvers
TASK_OF = {"dark-channel": "dehaze", "median": "derain"}  # of methods that are for one alone
LEARNED = ("d3gm", "regression")  # methods that use the network
SAMPLED = ("d3gm",)  # and that take several draws
MASKS = ("random", "equispaced", "equispaced-fraction", "magic", "gaussian", "gaussian-2d", "poisson-2d")
TRUST_FOLDS = {"off": 0, "fast": 1, "full": 4}
DICOM = ("classic", "enhanced")
THROUGH = "thickness", "profile"  # options of super-resolution through the slices, and those that it cannot have
IN_PLANE = "scale", "operator", "slices", "degrade", "noise"
PROFILES = ("box", "gaussian")
OF_FILES = "key", "axes", "voxel", "measurement", "series"  # options that say how a file is read
OF_COMMAND = "report", "dicom", "template", "sibling", "anonymous"  # and what the command writes
SIBLINGS = ("zero-filled", "sense")
QUALITIES: dict[str, dict[str, Any]] = {
    "fast": {"steps": 1, "samples": 1, "trust": "fast"},
    "default": {"steps": 1, "samples": 4, "trust": "fast"},
    "best": {"steps": 1, "samples": 8, "trust": "full"},
}
SR_QUALITIES: dict[str, dict[str, Any]] = {
    "fast": {"steps": 1, "samples": 1},
    "default": {"steps": 1, "samples": 2},
    "best": {"steps": 1, "samples": 8},
}


def option(
    default: Any,
    help: str,
    *,
    choices: tuple[Any, ...] = (),
    least: float | None = None,
    most: float | None = None,
    flag: str = "",
    decides: bool = True,
    shown: bool = True,
    bare: str | None = None,
) -> Any:
    """A field of settings.

    choices: all that it may be; least, most: the smallest and the largest; flag: of the command line, where it is not the
    name's; decides: whether the result depends on it; shown: whether the command line has it; bare: its value where the command
    line names none.
    """
    about = {"help": help, "choices": choices, "least": least, "most": most, "flag": flag, "decides": decides, "shown": shown}
    return field(default=default, metadata=about | {"bare": bare})


def flag_of(entry: "Field[Any]") -> str:
    """The name of an option on the command line, and in messages."""
    return entry.metadata["flag"] or "--" + entry.name.replace("_", "-")


def entries(settings: type) -> "list[Field[Any]]":
    """The options of a task, its own before those that all tasks share, those of the command line before the rest."""
    shared = {entry.name for entry in fields(VolumeSettings)}
    return sorted(fields(settings), key=lambda entry: (not entry.metadata["shown"], entry.name in shared))


_hints = cache(get_type_hints)  # which takes some milliseconds for all options of a task


def type_of(settings: type, name: str) -> type:
    """bool, int, float or str, of an option that may be None too."""
    hint = _hints(settings)[name]
    return next((kind for kind in get_args(hint) if kind is not type(None)), hint)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Options of a task; InputError, that names the option, for a value that it cannot have. bundle: folder of its bundle."""

    bundle: ClassVar[str]

    seed: int = option(0, "Seed of everything that is drawn.", least=0, most=2**32 - 1)
    solver: str = option("posterior", "Solver of the reverse process.", choices=SOLVERS)
    tau: float | None = option(None, "Noise of the path; the weights' own if left out.", most=1e6)
    weights: str | None = option(None, "Weights file instead of the shipped one.", decides=False)
    device: str = option("auto", "auto, cpu or cuda.", decides=False)

    def __post_init__(self) -> None:
        for entry in fields(self):
            object.__setattr__(self, entry.name, checked(type(self), entry, getattr(self, entry.name)))
        steps = getattr(self, "steps", None)
        if self.solver == "euler-maruyama" and steps is not None and 1 < steps < LEAST_STEPS:
            raise InputError(
                f"--steps {steps}: too few for --solver {self.solver}, it ends in noise; give {LEAST_STEPS} or another solver"
            )

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Settings from keywords; InputError for an unknown one."""
        names = [entry.name for entry in fields(cls)]
        unknown = sorted(set(options) - set(names))
        if unknown:
            raise InputError(f"unknown option {unknown[0]}; one of {', '.join(names)}")
        return cls(**options)

    def without(self, names: tuple[str, ...], said: str) -> None:
        """InputError, that ends as `said`, for an option of these names that is not left out."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name in names and value != entry.default:
                raise InputError(f"{flag_of(entry)} {value}: {said}")

    def fingerprint(self) -> dict[str, Any]:
        """The options that decide the result, by name."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.metadata["decides"]}


def checked(settings: type, entry: "Field[Any]", value: Any) -> Any:
    """The value of an option in its own type; InputError where it cannot be."""
    kind, flag = type_of(settings, entry.name), flag_of(entry)
    choices, least, most = (entry.metadata[name] for name in ("choices", "least", "most"))
    if value is None:
        if entry.default is None:
            return None
        raise InputError(f"{flag}: a value is needed" + (f"; one of {', '.join(map(str, choices))}" if choices else ""))
    whole = hasattr(value, "__index__") and not isinstance(value, bool)
    if kind is str and (whole or isinstance(value, str | Path)):
        value = str(value)
    else:
        real = isinstance(value, Real) and not isinstance(value, bool)
        fits = isinstance(value, bool) if kind is bool else whole or (kind is float and real)
        if kind is str or not fits:
            name = {bool: "True or False", int: "a whole number", float: "a number", str: "text"}[kind]
            raise InputError(f"{flag} {value!r}: must be {name}")
        value = kind(value)
    if choices and value not in choices:
        raise InputError(f"{flag} {value}: unknown; one of {', '.join(map(str, choices))}")
    if least is not None and not value >= least:
        raise InputError(f"{flag} {value:g}: must be {least:g} or more")
    if most is not None and not value <= most:
        raise InputError(f"{flag} {value}: must be {most:.0f} or less")
    return value


@dataclass(frozen=True, kw_only=True)
class SlicedSettings(Settings):
    """Options of a task that works on slices, each with one thread, so that results do not depend on how many at a time."""

    threads: int | None = option(
        None, "Slices (or draws of one) at a time on a CPU; as many as cores if left out.", least=1, decides=False
    )


@dataclass(frozen=True, kw_only=True)
class VolumeSettings(SlicedSettings):
    """Options of a task that writes a volume, with a page about it or as a DICOM series too if asked for."""

    report: bool = option(False, "Write one HTML page that shows the result, its doubt and how it was made.")
    dicom: str | None = option(None, "Write a DICOM series too, classic if no kind is named.", choices=DICOM, bare=DICOM[0])
    template: str | None = option(None, "Folder of any series of the study that the DICOM series joins.")
    anonymous: bool = option(False, "DICOM without the patient, by the basic profile.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for entry in fields(self):
            if entry.name in ("template", "sibling", "anonymous") and getattr(self, entry.name) and self.dicom is None:
                raise InputError(f"{flag_of(entry)}: is of the DICOM series; give --dicom too")

    def fill(self, values: Mapping[str, Any]) -> None:
        """Values for those options that are None."""
        for name, value in values.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)


@dataclass(frozen=True, kw_only=True)
class Recon(VolumeSettings):
    """Reconstruction. Of steps, samples and trust, what is None is as `quality` says."""

    bundle: ClassVar[str] = "reconstruction"

    accel: float | None = option(None, "Undersample a full file at this R (8 if left out).", least=1)
    mask_kind: str = option("equispaced-fraction", "How it is undersampled.", choices=MASKS, flag="--mask")
    axis: str = option("phase", "Axis that is undersampled.", choices=("phase", "readout"))
    center_fraction: float | None = option(
        None, "Part of lines in the full centre (0.32 / R if left out; for 2-D masks sqrt(0.1 / R) of each axis)."
    )
    coil_maps: str | None = option(None, "HDF5 file with dataset coil_maps.")
    method: str = option("d3gm", "How it is reconstructed.", choices=RECON_METHODS)
    quality: str = option("default", "Sets steps, samples and trust.", choices=tuple(QUALITIES), decides=False)
    steps: int | None = option(None, "Network evaluations a draw.", least=1)
    samples: int | None = option(None, "Draws, whose mean is taken.", least=1)
    trust: str | None = option(None, "Measured lines withheld as a test.", choices=tuple(TRUST_FOLDS))
    slices: str | None = option(None, "a:b, a:b:c or one number.")
    frames: str | None = option(None, "Of a series: a:b, a:b:c or one number.")
    complex: bool = option(False, "Write the phase too, in radians.")
    sibling: str | None = option(None, "A second DICOM series, made without the network.", choices=SIBLINGS)
    crop: bool = option(True, "Remove readout oversampling.")
    key: str | None = option(None, "Name of the k-space in a file of several arrays.")
    axes: str | None = option(None, "Its axes in their order, such as coils,rows,cols.")
    voxel: str | None = option(None, "Row, column and slice spacing in mm, such as 1,1,4, where the file has none.")
    measurement: int | None = option(None, "Which of several in one file, from 1; the last if left out.", least=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.fill(QUALITIES[self.quality])
        if self.sibling == self.method:
            raise InputError(f"--sibling {self.sibling}: is the method itself; choose another, or leave it out")
        self.reading()

    def reading(self) -> Reading:
        """How files are read; InputError for axes or a voxel size that cannot be."""
        return Reading(self.crop, self.key, self.axes, None if self.voxel is None else voxel_of(self.voxel), self.measurement)


@dataclass(frozen=True, kw_only=True)
class SuperResolve(VolumeSettings):
    """Super-resolution in plane, or through the slices. Of steps and samples, what is None is as `quality` says."""

    bundle: ClassVar[str] = "super_resolution"

    scale: int = option(4, "How many times the in-plane matrix.", choices=(2, 4))
    operator: str = option(
        "auto",
        "truncation: voxels are k-space's centre, kept exactly; unknown: nothing is assumed; auto: what k-space shows.",
        choices=("auto", "truncation", "unknown"),
    )
    method: str = option("d3gm", "How it is done.", choices=SR_METHODS)
    quality: str = option("default", "Sets steps and samples.", choices=tuple(SR_QUALITIES), decides=False)
    steps: int | None = option(None, "Network evaluations a draw.", least=1)
    samples: int | None = option(None, "Draws, whose mean is taken; more than one give the std map.", least=1)
    series: str | None = option(None, "Number, UID or description of one DICOM series.")
    slice_axis: int | None = option(None, "Axis across slices; found from the spacing if left out.", choices=(0, 1, 2))
    slices: str | None = option(None, "a:b, a:b:c or one number.")
    isotropic: bool = option(False, "Through the slices instead of in plane: voxels as high as they are wide.")
    thickness: float | None = option(
        None, "Of a slice in mm, with isotropic; as the header says, else their distance, if left out.", least=0.01
    )
    profile: str = option(
        "box", "Of a slice, with isotropic; gaussian: as wide as it is thick where half as high.", choices=PROFILES
    )
    degrade: str | None = option(
        None, "Make the input smaller first, to score against it.", choices=("truncation", "kernel"), shown=False
    )
    noise: float = option(0.0, "Rician noise added with degrade, of the 99th percentile.", least=0, shown=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.fill(SR_QUALITIES[self.quality])
        for entry in fields(self):
            given = getattr(self, entry.name) != entry.default
            if entry.name in THROUGH and given and not self.isotropic:
                raise InputError(f"{flag_of(entry)}: is of the slices' profile; give --isotropic too")
            if entry.name in IN_PLANE and given and self.isotropic:
                raise InputError(f"{flag_of(entry)}: is not for --isotropic; leave one of them out")
        if self.isotropic and self.method not in ("d3gm", "regression", *INTERPOLATIONS):
            raise InputError(f"--method {self.method}: is not for --isotropic; take cubic, or d3gm")


@dataclass(frozen=True, kw_only=True)
class Restore(Settings):
    """Rain or haze out of photographs."""

    bundle: ClassVar[str] = "restoration"

    task: str = option("derain", "What is removed.", choices=("derain", "dehaze"))
    method: str = option("d3gm", "dark-channel is for haze, median for rain.", choices=RESTORATION_METHODS)
    steps: int = option(1, "Network evaluations a draw.", least=1)
    samples: int = option(1, "Draws, which are averaged.", least=1)
    tile: int = option(768, "Side of the tiles that large pictures are estimated in.", least=192)
    target: str | None = option(None, "The clean picture, to score against.", shown=False)
    degrade: str | None = option(
        None, "Degrade the picture first, to score against it.", choices=("rain-heavy", "rain-light", "haze"), shown=False
    )
    index: int = option(0, "Number of the picture, for what is drawn.", least=0, shown=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        task = TASK_OF.get(self.method, self.task)
        if self.task != task:
            raise InputError(f"--method {self.method}: is for --task {task}, not {self.task}; take d3gm")


TASKS: dict[str, type[Settings]] = {"recon": Recon, "sr": SuperResolve, "restore": Restore}


def voxel_of(text: str) -> tuple[float, float, float]:
    """Three sizes in mm from their text; InputError for others."""
    try:
        first, second, third = (float(part) for part in text.split(","))
    except ValueError:
        first = second = third = 0.0
    if not all(0 < size < math.inf for size in (first, second, third)):
        raise InputError(f"--voxel {text}: three positive numbers in mm are needed, such as 1,1,4")
    return first, second, third


def chosen_images(scan: Scan, settings: Recon) -> list[int]:
    """Numbers of the images of the chosen frames and slices, frame after frame."""
    slices = chosen_slices(scan.name, scan.slices, settings.slices)
    frames = chosen_slices(scan.name, scan.frames, settings.frames, "--frames")
    return [frame * scan.slices + index for frame in frames for index in slices]


def chosen_slices(name: str, count: int, slices: str | None, flag: str = "--slices") -> range:
    """Indices out of `count` for a:b, a:b:c, one number, or None for all; InputError, that names the file, for others."""
    if slices is None:
        return range(count)
    try:
        if ":" in slices:
            index = slice(*(int(part) if part else None for part in slices.split(":")))
        else:
            index = slice(int(slices), int(slices) + 1 or None)
        chosen = range(count)[index]
    except (ValueError, TypeError) as error:
        raise InputError(f"{flag} {slices}: write one number, a:b or a:b:c") from error
    if not chosen:
        raise InputError(f"{name}: {flag} {slices} leaves none of its {count} {flag[2:]}")
    return chosen


def table(settings: type[Settings]) -> str:
    """The options of a task as a Markdown table."""
    lines = ["| option | keyword | default | meaning |", "|---|---|---|---|"]
    for entry in entries(settings):
        flag = f"`{flag_of(entry)}`" if entry.metadata["shown"] else ""
        choices = ", ".join(f"`{choice}`" for choice in entry.metadata["choices"])
        meaning = entry.metadata["help"] + (f" {choices}." if choices else "")
        default = "" if entry.default is None else f"`{entry.default}`"
        lines.append(f"| {flag} | `{entry.name}` | {default} | {meaning} |")
    return "\n".join(lines)
