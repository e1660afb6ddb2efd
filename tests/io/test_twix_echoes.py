"""Siemens raw data: echo times of each echo, and slices that the protocol has and the file lacks."""

from dataclasses import replace
from pathlib import Path

import pytest
from raw_files import shots
from raw_objects import FLAT, OBJECT
from raw_twix import parts_of
from twix_files import measurement, quaternion, readout, write_raid

from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.scan import Scan

STACK = replace(FLAT, slices=(0.0, 6.0))


def scan_of(folder: Path, counts: dict[str, int], **more: float) -> Scan:
    """A file of echoes and repetitions whose protocol says more, by names with __ for dots."""
    made = replace(STACK, counts=counts)
    names = {"contrast": "Eco", "repetition": "Rep", "slice": "Sli", "kspace_encode_step_1": "Lin"}
    head = {"Quaternion": quaternion(((0, 0, 0), *made.orientation)), "CenterLin": 10}
    data = [
        readout(
            shot.data,
            SlicePos=shot.position,
            CenterCol=shot.centre,
            **head,
            **{short: shot.counters[name] for name, short in names.items()},
        )
        for shot in shots(OBJECT, made)
    ]
    parts = parts_of(made)
    lines = "\n".join(f"{name.replace('__', '.')} = {value}" for name, value in more.items())
    parts["MeasYaps"] = parts["MeasYaps"].replace("### ASCCONV END ###", f"{lines}\n### ASCCONV END ###")
    return open_scan(write_raid(folder / "a.dat", [measurement(parts, data)]))


@pytest.mark.parametrize(
    ("times", "known"), [((2500, 7000), [2.5, 7.0]), ((2500,), [2.5, None]), ((2500, 7000, 9000), [2.5, 7.0])]
)
def test_each_echo_has_its_own_time(times: tuple[int, ...], known: list[float | None], tmp_path: Path) -> None:
    said = {f"alTE[{echo}]": time for echo, time in enumerate(times)}
    frames = scan_of(tmp_path, {"contrast": 2}, **said)
    assert [one.get("EchoTime") for one in frames.contrasts] == known
    parts = scan_of(tmp_path, {"contrast": 2, "repetition": 2}, **said).parts
    assert [part.facts.get("TE (ms)") for part in parts.values()] == [None if one is None else f"{one:g}" for one in known]


@pytest.mark.parametrize(("count", "missed"), [(2, False), (3, True), (0, False)])
def test_slices_that_a_file_lacks_are_said(count: int, missed: bool, tmp_path: Path) -> None:
    scan = scan_of(tmp_path, {}, sSliceArray__lSize=count)
    assert any(f"has {count} slices, and the file holds readouts of 2" in word for word in scan.warnings) == missed
