"""Which images of a DICOM series make a volume, whatever their numbers say."""

from functools import partial
from pathlib import Path
from typing import Any

import io_files
import numpy as np
import pytest
from dicom_files import SLICES, add_private, slices, stack, write_enhanced, write_series

from mri_d3gm.io.dicom.read_dicom import read_dicom

EXPECTED = stack().transpose(2, 1, 0)
KIND = ["ORIGINAL", "PRIMARY", "M"]

error_of = partial(io_files.error_of, read_dicom)


def swapped(*contrasts: dict[str, Any], **values: Any) -> list:
    """Volumes t of these values, stack() + 1000 t, whose InstanceNumbers run the other way in odd slices."""
    volumes = [slices(data=stack() + 1000 * t, **own) for t, own in enumerate(contrasts)]
    for t, volume in enumerate(volumes):
        for index, item in enumerate(volume):
            item.InstanceNumber = 1 + (t if index % 2 == 0 else len(volumes) - 1 - t)
            for name, of_place in values.items():
                setattr(item, name, of_place(index, t))
    return [item for volume in volumes for item in volume]


def assert_volumes(path: Path, *offsets: int) -> None:
    np.testing.assert_array_equal(read_dicom(path).array, np.stack([EXPECTED + 1000 * offset for offset in offsets], -1))


CONTRASTS = {
    "echo times": [{"EchoNumbers": 1, "EchoTime": 10.0}, {"EchoNumbers": 1, "EchoTime": 20.0}],
    "inversion times": [{"InversionTime": 100.0}, {"InversionTime": 500.0}, {"InversionTime": 900.0}],
    "with and without inversion": [{}, {"InversionTime": 900.0}],
    "flip angles": [{"FlipAngle": 3.0}, {"FlipAngle": 15.0}],
    "Dixon": [{"ImageType": [*KIND, word]} for word in ("F", "IP", "OP", "W")],
    "a combination": [{"InversionTime": t, "FlipAngle": angle} for t in (100.0, 900.0) for angle in (5.0, 15.0)],
    "dynamics of two contrasts": [{"ImageType": [*KIND, word], "AcquisitionNumber": t} for word in "FW" for t in (1, 2)],
}


@pytest.mark.parametrize("which", CONTRASTS)
def test_volumes_have_one_contrast_each(which: str, tmp_path: Path) -> None:
    assert_volumes(write_series(tmp_path, swapped(*CONTRASTS[which])), *range(len(CONTRASTS[which])))


@pytest.mark.parametrize("which", CONTRASTS)
def test_what_tells_contrasts_apart_may_be_all_there_is(which: str, tmp_path: Path) -> None:
    items = swapped(*CONTRASTS[which], InstanceNumber=lambda index, t: index)
    assert_volumes(write_series(tmp_path, items), *range(len(CONTRASTS[which])))


@pytest.mark.parametrize("of_volume", [[900.0, 100.0], [100.0, 900.0, 100.0]])
def test_volumes_that_agree_stay_in_their_order(of_volume: list, tmp_path: Path) -> None:
    given = enumerate(of_volume)
    items = [item for t, x in given for item in slices(data=stack() + 1000 * t, InversionTime=x, InstanceNumber=t)]
    assert_volumes(write_series(tmp_path, items), *range(len(of_volume)))


PRIVATE_B = "SIEMENS MR HEADER", 0x19, 0x0C


@pytest.mark.parametrize(
    "said, name, of_place",
    [
        ("inversion times, 100 and 890", "InversionTime", lambda index, t: 100.0 + 800 * t - 10 * (index == 1)),
        ("image types", "ImageType", lambda index, t: [*KIND, "W" if index == 3 else "FW"[t]]),
        ("flip angles", "FlipAngle", lambda index, t: [5.0, 15.0, 30.0][(t + index // 2) % 3]),
        ("echoes or b values, 0 and 700", "DiffusionBValue", lambda index, t: 700.0 * t),
        ("directions of diffusion", "DiffusionGradientOrientation", lambda index, t: [1.0 - t, 1.0 * t, 0.0]),
    ],
)
def test_volumes_that_would_mix_contrasts_are_refused(said: str, name: str, of_place: Any, tmp_path: Path) -> None:
    text = error_of(write_series(tmp_path, swapped({}, {}, **{name: of_place})))
    assert f"would mix {said}" in text and text.endswith("give the images of one contrast in a folder of their own")


@pytest.mark.parametrize("value", ["700", b"700 "])
def test_b_values_of_siemens_are_known(value: Any, tmp_path: Path) -> None:
    def series(first: int) -> list:
        items = swapped({"InstanceNumber": 1}, {"InstanceNumber": 2}, InstanceNumber=lambda index, t: t)
        for item in items[first : first + SLICES]:
            add_private(item, *PRIVATE_B, "IS" if isinstance(value, str) else "UN", value)
        return items

    image = read_dicom(write_series(tmp_path / "a", series(SLICES)))
    assert image.contrasts == ({}, {"DiffusionBValue": 700.0})
    assert "would mix echoes or b values" in error_of(write_series(tmp_path / "b", series(SLICES - 1)))


def test_contrasts_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    items = swapped({"InversionTime": 100.0}, {"InversionTime": 900.0}, FlipAngle=lambda index, t: 5.0 + 10 * ((index + t) % 2))
    assert "would mix flip angles, 5 and 15" in error_of(write_series(tmp_path, items))


@pytest.mark.parametrize(
    "name, of_place",
    [
        ("RepetitionTime", lambda index, t: 2500.0 * (1 + (index * 7 + t * 3) % 2)),
        ("InversionTime", lambda index, t: 100.0 + 60 * ((index * 7 + t * 5) % 11 > 8) + 800 * t),
        ("TriggerTime", lambda index, t: [0, 13, 60, 7, 41, 29][(index * 2 + t * 5) % 6]),
        ("ImageType", lambda index, t: ["ORIGINAL", "PRIMARY", "M", ["ND", "NORM"][index % 2]]),
        ("RepetitionTime", lambda index, t: 3000.0 + 97 * ((index * 7 + t * 5) % 11)),
        ("InversionTime", lambda index, t: 100 + 0.1 * ((index + t) % 2)),
        ("EchoTime", lambda index, t: 10 + 0.01 * ((index + t) % 2)),
        ("FlipAngle", lambda index, t: 10.0 + index),
        ("InversionTime", lambda index, t: (900.0 + 70 * index) * (1 + t)),
        ("ImageType", lambda index, t: [["ORIGINAL", "DERIVED"][index % 2], "PRIMARY", "M"]),
    ],
)
def test_values_that_scatter_or_change_from_slice_to_slice_are_no_mixture(name: str, of_place: Any, tmp_path: Path) -> None:
    items = swapped({}, {}, {}, **{name: of_place, "InstanceNumber": lambda index, t: t})
    assert_volumes(write_series(tmp_path, items), 0, 1, 2)


# time


@pytest.mark.parametrize("start", [lambda index: 0.0, lambda index: 7.5 * index])
@pytest.mark.parametrize("of_number", [lambda index, t: -t, lambda index, t: (t + index) % 3, lambda index, t: 0])
def test_phases_of_the_heart_follow_the_trigger(start: Any, of_number: Any, tmp_path: Path) -> None:
    items = swapped({}, {}, {}, InstanceNumber=of_number, TriggerTime=lambda index, t: start(index) + 40 * t)
    path = write_series(tmp_path, items)
    assert_volumes(path, 0, 1, 2)
    assert read_dicom(path).time_step == pytest.approx(0.04)


def test_phases_of_enhanced_objects_follow_the_trigger(tmp_path: Path) -> None:
    """Unless their dimensions say another order."""
    data = np.stack([stack() + 1000 * t for t in range(3)])

    def groups(index: int, time: int, said: int = 1) -> dict[str, Any]:
        dimensions = {"FrameContentSequence": {"DimensionIndexValues": [1, index + 1, 9 - time]}}
        delay = {"CardiacSynchronizationSequence": {"NominalCardiacTriggerDelayTime": 40.0 * time}}
        return delay | (dimensions if said else {})

    plain = partial(groups, said=0)
    one = {"RescaleSlope": 1.0, "RescaleIntercept": 0.0}
    assert_volumes(write_enhanced(tmp_path / "a" / "a.dcm", data=data, groups=plain, **one), 0, 1, 2)
    assert_volumes(write_enhanced(tmp_path / "b" / "b.dcm", data=data, groups=groups, **one), 2, 1, 0)


@pytest.mark.parametrize("triggers", [[142.5, 140, 145, 142.5], [100, 300, 100, 100], [100, 100, 100, 100]])
def test_heartbeats_stay_in_order_where_trigger_times_scatter(triggers: list, tmp_path: Path) -> None:
    items = swapped(*[{"TriggerTime": trigger} for trigger in triggers], InstanceNumber=lambda index, t: t)
    assert_volumes(write_series(tmp_path, items), 0, 1, 2, 3)


def clock(seconds: float) -> str:
    minutes, rest = divmod(seconds % 86400, 60)
    return f"{int(minutes // 60):02d}{int(minutes % 60):02d}{rest:07.4f}"


PLACES = [0, 3, 1, 4, 2]  # interleaved slices in time


@pytest.mark.parametrize("start", [36000, 86397])  # through midnight
@pytest.mark.parametrize("of_volume, of_slice", [(2.0, 0.3), (2.0, 0.0), (0.3, 2.0)])
def test_numbers_that_contradict_time_at_some_places_give_way(
    of_volume: float, of_slice: float, start: int, tmp_path: Path
) -> None:
    def when(index: int, t: int) -> str:
        return clock(start + of_volume * t + of_slice * PLACES[index])

    assert_volumes(write_series(tmp_path, swapped({}, {}, {}, AcquisitionTime=when)), 0, 1, 2)


def test_contrast_goes_before_time(tmp_path: Path) -> None:
    """As of diffusion, where single slices were acquired again at the end."""
    when = {"AcquisitionTime": lambda index, t: clock(36000 + 2 * t + 60 * ((index, t) == (1, 0)))}
    numbered = {"InstanceNumber": lambda index, t: t}
    for which in ("DiffusionBValue", "InversionTime"):
        items = swapped({which: 0.0}, {which: 500.0}, {which: 900.0}, **when, **numbered)
        assert_volumes(write_series(tmp_path / which, items), 0, 1, 2)
    items = swapped(*[{"TemporalPositionIdentifier": t + 1} for t in range(3)], **when, **numbered)
    assert_volumes(write_series(tmp_path / "positions", items), 0, 1, 2)


def taken_again(volumes: int, times: str = "", again: float = 0, **values: Any) -> list:
    """Volumes 2 s after each other, of whose first the second slice was taken again after all others, `again` s later."""
    items = [item for t in range(volumes) for item in slices(data=stack() + 1000 * t, **values)]
    for number, item in enumerate(items):
        late = number == 1
        item.InstanceNumber = volumes * SLICES + 1 if late else number + 1
        if times:
            seconds = 2 * volumes + again if late else 2 * (number // SLICES) + 0.3 * (number % SLICES)
            setattr(item, times, clock(36000 + seconds))
    return items


@pytest.mark.parametrize("volumes", [2, 3, 6])
@pytest.mark.parametrize("times, again", [("", 0), ("AcquisitionTime", 0), ("AcquisitionTime", 1), ("AcquisitionTime", 60)])
def test_a_slice_that_was_taken_again_is_not_mixed_in(volumes: int, times: str, again: float, tmp_path: Path) -> None:
    text = error_of(write_series(tmp_path / "a", taken_again(volumes, times, again)))
    assert "were taken among those of other volumes" in text and "AcquisitionNumber" in text
    items = taken_again(volumes, times, again)
    for number, item in enumerate(items):
        item.AcquisitionNumber = number // SLICES + 1
    assert_volumes(write_series(tmp_path / "b", items), *range(volumes))


def test_slices_of_one_volume_or_of_the_last_may_be_taken_late(tmp_path: Path) -> None:
    for count, late in ((1, 1), (3, 2 * SLICES + 1)):
        items = [item for t in range(count) for item in slices(data=stack() + 1000 * t)]
        for number, item in enumerate(items):
            item.InstanceNumber = 99 if number == late else number + 1
        assert read_dicom(write_series(tmp_path / str(count), items)).array.shape[2:] == (
            (SLICES, count) if count > 1 else (SLICES,)
        )


@pytest.mark.parametrize("packages", [[0, 0, 0, 0, 1], [0, 0, 0, 1, 1], [0, 1, 0, 1, 0], [0, 1, 2, 3, 4], [0, 0, 1, 1, 2]])
@pytest.mark.parametrize("numbered", [True, False])
def test_packages_of_slices_may_follow_each_other(packages: list, numbered: bool, tmp_path: Path) -> None:
    when = {"AcquisitionTime": lambda index, t: clock(36000 + 100 * packages[index] + 2 * t + 0.3 * index)}
    number = (lambda index, t: 50 * packages[index] + 5 * t + index) if numbered else (lambda index, t: t)
    assert_volumes(write_series(tmp_path, swapped({}, {}, {}, InstanceNumber=number, **({} if numbered else when))), 0, 1, 2)


@pytest.mark.parametrize("times", [[0.03, 0.07], [68.0, 68.33], [40.0, 40.15, 40.3, 40.45], [2.3, 2.31]])
def test_echoes_close_together_are_told_apart(times: list, tmp_path: Path) -> None:
    items = swapped(*[{"EchoTime": time} for time in times])
    assert_volumes(write_series(tmp_path, items), *range(len(times)))
