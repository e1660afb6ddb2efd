"""Frames of a DICOM series, place by place, put in the order of its volumes: by contrast, by time, by number.

Numbers of images are the last to be asked. What a contrast depends on must agree within a volume.
"""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.dicom.dicom_frames import CONTRAST, ORDER, Frame

SAME_PLACE = 0.01  # mm
LOOSE = 10  # times the tolerance, where values differ from place to place
ROUNDED = 0.002  # of an echo time, by which software rounds it: 2.464 to 2.46; echoes of IDEAL at 7 T are 0.5 % apart
PHASE = 0.005  # s, by which phases of the heart differ at least; trigger times of one phase scatter by less
FEWEST, EVEN = 3, 1.5  # phases, at least; times the least time between two of them, at most
DAY = 86400.0  # s


class Trait(NamedTuple):
    """What a contrast depends on: DICOM's name, that in messages, and by how much values that count for one may differ.

    relative: of the larger value; absolute: besides; sorts: whether images are put in order by it; strict: whether it agrees
    within a volume even where all images of a place have the same.
    """

    name: str
    called: str
    relative: float = 0.005
    absolute: float = 0.0
    sorts: bool = True
    strict: bool = False


DIRECTION = Trait("DiffusionGradientOrientation", "directions of diffusion", 0.0, 0.02, sorts=False)
TRAITS = (
    Trait("EchoTime", "echoes or b values", ROUNDED, strict=True),
    Trait("InversionTime", "inversion times"),
    Trait("FlipAngle", "flip angles"),
    Trait("DiffusionBValue", "echoes or b values", sorts=False, strict=True),
    Trait("ImageType", "image types", 0.0, 0.05),
    DIRECTION, DIRECTION, DIRECTION,
)  # fmt: skip
RELATIVE, ABSOLUTE = np.array([[trait.relative, trait.absolute] for trait in TRAITS]).T
SORTS, STRICT = np.array([[trait.sorts, trait.strict] for trait in TRAITS]).T


def arranged(path: Path, rows: list[list[Frame]]) -> list[list[Frame]]:
    """The frames of each place in the order of volumes; as many at each place.

    They are sorted by their `order`. Phases of the heart come in the order of their trigger times, and images whose numbers
    contradict their times at some places but not at others in that of their times. Where that would mix contrasts, they are
    sorted by what tells these apart, if it has the same values at every place. InputError where nothing tells two images of a
    place apart, where they lie apart, or where a volume would mix contrasts.
    """
    rows = _by_contrast(_by_clock(_sorted(_steady(rows))))
    _check_turns(path, rows)
    for row in rows:
        for before, frame in pairwise(row):
            if before.order == frame.order:
                names = f"{before.name} and {frame.name}"
                raise InputError(f"{path}: nothing tells the images of one position in {names} apart; take copies away")
            if np.linalg.norm(frame.position - row[0].position) > SAME_PLACE:
                names = f"{row[0].name} and {frame.name}"
                raise InputError(f"{path}: volumes are shifted against each other, see {names}; give one volume")
    _check_contrasts(path, rows)
    return rows


def _steady(rows: list[list[Frame]]) -> list[list[Frame]]:
    """Echo times that count for one are one in the order of frames, as contrasts are."""
    for place in (ORDER.index("EffectiveEchoTime"), ORDER.index("EchoTime")):
        found = sorted({frame.order[place] for row in rows for frame in row})
        steady, one = {}, found[0]
        for value in found:
            one = one if value - one <= TRAITS[0].relative * value else value
            steady[value] = one
        if len(set(steady.values())) < len(found):
            rows = [
                [replace(f, order=(*f.order[:place], steady[f.order[place]], *f.order[place + 1 :])) for f in row]
                for row in rows
            ]
    return rows


def _sorted(rows: list[list[Frame]]) -> list[list[Frame]]:
    return [sorted(row, key=lambda frame: frame.order) for row in rows]


def _tied(rows: list[list[Frame]]) -> bool:
    return any(before.order == frame.order for row in rows for before, frame in pairwise(row))


# time


def _by_clock(rows: list[list[Frame]]) -> list[list[Frame]]:
    """Sorted anew by the clock that tells images of a place apart better than their numbers do, if there is one."""
    trigger, clock = _clocks(rows)
    if _telling(_table(rows)).any():
        return rows
    if _are_phases(trigger):
        clock = trigger
    elif not (_contradict(clock) or _tied(rows)):
        return rows
    times = np.nan_to_num(clock).tolist()
    timed = _sorted([[_timed(*pair) for pair in zip(row, own, strict=True)] for row, own in zip(rows, times, strict=True)])
    return rows if _mixed(_table(timed)).any() and not _mixed(_table(rows)).any() else timed


def _clocks(rows: list[list[Frame]]) -> tuple[np.ndarray, np.ndarray]:
    """Times (places, images) behind the trigger, and of the day, which go on through midnight."""
    _, trigger, started, acquired = np.moveaxis(np.array([[frame.clocks for frame in row] for row in rows]), -1, 0)
    clock = np.where(np.isfinite(started), started, acquired)
    return trigger, np.where(clock < np.nanmax(clock, initial=0.0) - DAY / 2, clock + DAY, clock)


def _are_phases(trigger: np.ndarray) -> bool:
    """Whether trigger times (places, images) are those of phases: at each place equally many images of each of several, which
    lie evenly apart.
    """
    if not np.isfinite(trigger).all():
        return False
    for own in trigger:
        found, counts = np.unique(own, return_counts=True)
        apart = np.diff(found)
        if len(found) < FEWEST or apart.min() < PHASE or apart.max() > EVEN * apart.min() or counts.min() < counts.max():
            return False
    return True


def _contradict(clock: np.ndarray) -> bool:
    """Whether all times (places, images) of a place differ, and their order is that of the images at some places only."""
    if not np.isfinite(clock).all() or not np.diff(np.sort(clock, axis=1), axis=1).all():
        return False
    ranks = np.argsort(clock, axis=1)
    return bool((ranks != ranks[0]).any())


def _timed(frame: Frame, clock: float) -> Frame:
    """With a time in its order: before its number, and behind its dimensions where it has any."""
    before, number, *indices, last = frame.order[: len(ORDER) - 1], *frame.order[len(ORDER) - 1 :]
    return replace(frame, order=(*before, 0.0 if indices else clock, number, *indices, clock, last))


def _check_turns(path: Path, rows: list[list[Frame]]) -> None:
    """InputError where volumes would follow one another in time, or by their numbers where no clock tells them apart, but for
    images of a few places, which lie among those of other volumes: they were taken again, and nothing says for which volume.
    """
    if _telling(_table(rows)).any():
        return
    told = len(ORDER) - 1  # by what goes before their numbers
    for clock in (_clocks(rows)[1], np.array([[frame.order[told] for frame in row] for row in rows])):
        if not np.isfinite(clock).all() or (clock == clock[:, :1]).all():
            continue
        place = _out_of_turn(clock)
        if place is not None and len({frame.order[:told] for frame in rows[place]}) < len(rows[place]):
            raise InputError(
                f"{path}: images at the place of {rows[place][0].name} were taken among those of other volumes, as after a "
                "slice was taken again; export the volumes one by one, or with AcquisitionNumber"
            )
        return


def _out_of_turn(clock: np.ndarray) -> int | None:
    """A place whose images (places, images) alone keep volumes from following one another; None where there is none, and where
    that is half of the places or the images of a place lie before or behind all others.
    """
    passed = (clock[:, None, :-1] > clock[None, :, 1:]).any(-1)  # an image of one place by a later volume's at another
    passed = np.asarray(passed | passed.T)
    left = np.ones(len(clock), bool)
    found = None
    while passed[left][:, left].any():
        found = int(np.lexsort((clock[:, -1], (passed & left).sum(1) * left))[-1])
        left[found] = False
    if found is None or 2 * left.sum() <= len(clock):
        return None
    within = (clock > clock[left].min()) & (clock < clock[left].max())
    return next((int(place) for place in np.flatnonzero(~left) if within[place].any()), None)


# contrast


def _table(rows: list[list[Frame]]) -> np.ndarray:
    """Numbers (places, volumes, TRAITS), 0 where one is not known; image types are counted."""
    kinds = {kind: place for place, kind in enumerate(sorted({_kind(frame) for row in rows for frame in row}))}
    return np.array([[_numbers(frame, kinds) for frame in row] for row in rows], float)


def _kind(frame: Frame) -> tuple[str, ...]:
    """The words of an image type that are its own: not whether the image is original and primary."""
    return tuple(str(frame.contrast["ImageType"]).upper().split("\\")[2:])


def _numbers(frame: Frame, kinds: dict[tuple[str, ...], int]) -> list[float]:
    known = [frame.contrast.get(trait.name, 0.0) for trait in TRAITS if trait.name in CONTRAST]
    return [*known, kinds[_kind(frame)], *frame.contrast.get(DIRECTION.name, (0.0, 0.0, 0.0))]


def _far(one: np.ndarray, other: np.ndarray, times: float = 1) -> np.ndarray:
    """Whether values (..., TRAITS) differ by more than so many times the tolerance."""
    allowed = times * (RELATIVE * np.maximum(abs(one), abs(other)) + ABSOLUTE)
    far: np.ndarray = abs(one - other) > allowed
    return far


def _telling(table: np.ndarray) -> np.ndarray:
    """Whether each trait tells images of a place apart, and has the same values at every place."""
    ordered = np.sort(table, axis=1)
    differs, changes = _far(ordered[:, 0], ordered[:, -1]), _far(ordered, ordered[:1])
    return np.array(differs.any(0) & ~changes.any((0, 1)))


def _mixed(table: np.ndarray) -> np.ndarray:
    """Whether an image (places, volumes, TRAITS) has another contrast than that of its volume at the first place.

    A trait whose values are not the same at all places may differ between them, but must rise and fall alike from volume
    to volume.
    """
    wrong = _far(table, table[:1]) & (STRICT | _telling(table))
    before, after = table[:, :-1], table[:, 1:]
    signs = np.sign(after - before) * _far(before, after, LOOSE)
    contradict = (signs.min(0) < 0) & (signs.max(0) > 0)
    wrong[:, :-1] |= (signs != signs[:1]) & contradict & ~_telling(table)
    return wrong


def _by_contrast(rows: list[list[Frame]]) -> list[list[Frame]]:
    """Sorted anew by the traits that tell images apart, if volumes would mix them or images could not be told apart."""
    table = _table(rows)
    telling = _telling(table) & SORTS
    if not (_mixed(table)[..., telling].any() or (telling.any() and _tied(rows))):
        return rows
    classes = np.zeros((*table.shape[:2], int(telling.sum())), int)
    middle = np.sort(table, axis=1).mean(0)  # (volumes, TRAITS)
    steps = _far(middle[:-1], middle[1:])
    for place, trait in enumerate(np.flatnonzero(telling)):
        borders = ((middle[:-1] + middle[1:]) / 2)[steps[:, trait], trait]
        classes[..., place] = (table[..., trait, None] > borders).sum(-1)
    return _sorted(
        [
            [replace(frame, order=(*kind, *frame.order)) for frame, kind in zip(row, kinds, strict=True)]
            for row, kinds in zip(rows, classes.tolist(), strict=True)
        ]
    )


def _check_contrasts(path: Path, rows: list[list[Frame]]) -> None:
    """InputError where the images of a volume differ in what their contrast depends on."""
    wrong = _mixed(_table(rows))
    if not wrong.any():
        return
    volume, trait, place = (int(found) for found in np.argwhere(wrong.transpose(1, 2, 0))[0])
    pair = rows[0][volume], rows[place][volume]
    name, called = TRAITS[trait][:2]
    held = " and ".join(_said(frame.contrast.get(name, "none")) for frame in pair)
    raise InputError(
        f"{path}: volume {volume + 1} would mix {called}, {held}, see {' and '.join(frame.name for frame in pair)}; "
        "export it again, or give the images of one contrast in a folder of their own"
    )


def _said(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
