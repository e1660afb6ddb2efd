"""A result as DICOM: its study, what is said of it, and its series in a folder that appears whole or not at all."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mri_d3gm import __version__
from mri_d3gm.errors import InputError
from mri_d3gm.io.atomic import atomic_folder
from mri_d3gm.io.dicom.dicom_planes import Planes, check_planes, planes_of, scale_of, sheared
from mri_d3gm.io.dicom.dicom_study import Study, anonymous, check_same, read_template, shared_space, uid_of
from mri_d3gm.io.dicom.write_dicom import COMMENTS, Made, Place, series_uid, write_series
from mri_d3gm.io.dicom.write_enhanced import write_enhanced
from mri_d3gm.io.dicom.write_map import write_map
from mri_d3gm.settings import LEARNED, Recon, SuperResolve

LAST = 2**31 - 1  # of series numbers
SERIES = 3  # that a result may have
UNDECIDED = "template", "sibling"  # options that decide other series, or the study


class Volume(NamedTuple):
    """Arrays (i, j, k[, t]) on the grid of an affine (mm, RAS) with slices across `axis`; known: whether that is the patient's.

    sibling: of the method of that name, without a network, to be shown next to it; part: BIDS entities where it is one of
    several results of an input, and order: which, from 0; time_step: s between times, None where unknown; contrasts: as of
    `Image`.
    """

    array: np.ndarray
    std: np.ndarray | None
    affine: np.ndarray
    axis: int
    known: bool
    sibling: tuple[str, np.ndarray] | None = None
    part: str = ""
    order: int = 0
    time_step: float | None = None
    contrasts: tuple[Mapping[str, Any], ...] = ()


def check_dicom(settings: Recon | SuperResolve, own: Study, grid: tuple[str, np.ndarray, int] | None = None) -> list[str]:
    """What to say of the study that a series will belong to.

    grid: name, affine and axis across slices of the input. InputError where packages or a usable template are missing, and
    where DICOM cannot hold the grid.
    """
    if settings.dicom is None:
        return []
    _check_packages()
    said = []
    if grid is not None:
        check_planes(*grid)
        if sheared(*grid[1:]):
            said.append(
                "DICOM: slices are shifted in plane; each has its position, but viewers that stack them straight are wrong"
            )
    if settings.template is not None:
        check_same(settings.template, read_template(settings.template), own.attributes)
        return said
    if {"PatientID", "PatientName"} & set(own.attributes) or settings.anonymous:
        return said
    return [
        *said,
        "DICOM: the input names no patient: those fields are empty; --template takes them from a series of the study",
    ]


def _check_packages() -> None:
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise InputError("--dicom needs highdicom; pip install 'mri-d3gm[dicom]'") from error


def write_dicom(folder: Path, volume: Volume, settings: Recon | SuperResolve, own: Study, record: Mapping[str, Any]) -> None:
    """Write a result's series into a new folder, each in one of its own: recon or sr, its sibling, and the std map.

    own: the study of the input itself; record: that of the sidecar. InputError where it cannot be written.
    """

    def planes_on_grid(array: np.ndarray) -> Planes:
        planes = planes_of(record["Input"]["File"], array, volume.affine, volume.axis)
        return planes._replace(time_step=volume.time_step, contrasts=volume.contrasts)

    planes = planes_on_grid(volume.array)
    if volume.axis != 2 or (isinstance(settings, SuperResolve) and settings.isotropic):  # not the slices of the input
        own = own._replace(attributes={name: text for name, text in own.attributes.items() if name != "SliceThickness"})
    study, made = study_for(settings, own, record), made_of(settings, record, volume.part)
    if series_uid(study, made) in study.series:
        raise InputError(f"{settings.template}: holds this very series already, written by other software; choose another")
    space, reference = space_for(study, own, planes, volume.known) or (uid_of("space", made.identity), "")
    scale, numbers = scale_of(planes.images), islice(free_numbers(study), SERIES * volume.order, None)
    if settings.anonymous:
        kept = anonymous(study._replace(attributes={**study.attributes, "FrameOfReferenceUID": space}))
        study, space = kept, kept.attributes["FrameOfReferenceUID"]
    write = write_series if settings.dicom == "classic" else write_enhanced
    with atomic_folder(folder) as temporary:
        place = Place(next(numbers), space, reference)
        shown = write(temporary / made.kind[0].lower(), planes, scale, study, made, place)
        if volume.sibling is not None:
            method, array = volume.sibling
            label = made_of(settings, record, volume.part, method)
            write(temporary / method, planes_on_grid(array), scale, study, label, place._replace(number=next(numbers)))
        if volume.std is not None:
            write_map(temporary / "std", planes_on_grid(volume.std), shown, made, next(numbers))


def study_for(settings: Recon | SuperResolve, own: Study, record: Mapping[str, Any]) -> Study:
    """The template's study with what the input says of its own sequence, else the input's, else a new one."""
    new = {"StudyInstanceUID": uid_of("study", record["Input"]["SHA256"])} | dict(own.attributes)
    if settings.template is None:
        return own._replace(attributes=new)
    found = read_template(settings.template)
    last, taken, series = max(found.last, own.last), found.taken | own.taken, found.series | own.series
    return found._replace(attributes=new | dict(found.attributes), last=last, taken=taken, series=series)


def space_for(study: Study, own: Study, planes: Planes, known: bool) -> tuple[str, str] | None:
    """The frame of reference of the input, or of the template where the volume lies among its images, and what it refers to.

    None where the position is unknown or no one else's.
    """
    space = (own.attributes.get("FrameOfReferenceUID") or shared_space(study, planes.corners)) if known else ""
    return (space, study.attributes.get("PositionReferenceIndicator", "")) if space else None


def free_numbers(study: Study) -> Iterator[int]:
    """Numbers of series that none of the study is known to have: behind a hundred times the last one, as scanners number."""
    first = 100 * study.last if study.last < LAST // 1000 else study.last
    return (number for number in count(first + 1) if number not in study.taken and number <= LAST)


def made_of(settings: Recon | SuperResolve, record: Mapping[str, Any], part: str, sibling: str | None = None) -> Made:
    """What made a result, or its sibling, in words that hold nothing of the patient."""
    options = {name: value for name, value in record["Options"].items() if name not in UNDECIDED}
    weights = (record["Weights"] or {}).get("SHA256", "")
    identity = [record["Input"]["SHA256"], options, weights, __version__, part]
    method = sibling or record["Method"]
    learned = method in LEARNED
    if isinstance(settings, SuperResolve):
        task, size = "SUPERRES", "isotropic" if settings.isotropic else f"x{settings.scale}"
    else:
        task, size = "RECON", f"R{record['Sampling']['AccelerationAchieved']:g}"
    title = " ".join(filter(None, [method, size, part, "AI" if learned else ""]))
    return Made(
        kind=(task, method.upper().replace("-", "_")),
        title=title,
        derivation=derivation(settings, record, method),
        version=__version__,
        weights=weights if learned else "",
        identity=json.dumps(identity, sort_keys=True),
        time=None if settings.anonymous else datetime.now(),
        anonymous=settings.anonymous,
    )


def derivation(settings: Recon | SuperResolve, record: Mapping[str, Any], method: str) -> str:
    """What was done to the data, in one line."""
    if isinstance(settings, SuperResolve) and settings.isotropic:
        stack, side = record["Stack"], min(record["VoxelMillimetres"])
        thick, apart = stack["ThicknessMillimetres"], stack["SpacingMillimetres"]
        said = [f"Slices of {thick:.3g} mm, {apart:.3g} mm apart, to {side:.3g} mm by {method}, profile {settings.profile}"]
    elif isinstance(settings, SuperResolve):
        assumed = f", operator: {record['Operator']['Said']}" if method in LEARNED else ""
        said = [f"In-plane matrix times {settings.scale} by {method}{assumed}"]
    else:
        accel = record["Sampling"]["AccelerationAchieved"]
        said = [f"Reconstructed from k-space by {method}, R {accel:g}, {100 / accel:.3g} % of k-space measured"]
    if method in LEARNED:
        said.append("what was not measured is estimated by a neural network")
        said.append(f"{record['Draws']} draw{'s' * (record['Draws'] > 1)}, mean shown, seed {settings.seed}")
        error = record.get("Trust", {}).get("WithheldError")
        if error is not None:
            said.append(f"{100 * error:.3g} % of the energy of withheld samples missed")
    return "; ".join([*said, COMMENTS])
