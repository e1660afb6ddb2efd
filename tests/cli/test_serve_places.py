"""serve: what lies apart is an image of its own, where recon has it, and what is no image is refused as in a file."""

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mrd_client import CLOSE, readouts_of, text
from mrd_server import PLAIN, SMALL, assert_there, messages_of, through
from raw_files import AXIAL
from raw_objects import readouts_of as acquisitions_of

from mri_d3gm.errors import InputError
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.settings import Recon
from mri_d3gm.tasks.recon import reconstruct
from mri_d3gm.tasks.serve import Model

WHOLE = replace(SMALL, entries=None)


@pytest.mark.parametrize("mm", [0.0, 1.0, 15.0])
@pytest.mark.parametrize("turned", [False, True])
def test_images_that_lie_apart_lie_where_recon_has_them(turned: bool, mm: float, tmp_path: Path, model: Model) -> None:
    path, _, _ = messages_of(replace(WHOLE, counts={"repetition": 2}), tmp_path)
    with acquisitions_of(path) as data:
        second = data["head"]["idx"]["repetition"] == 1
        data["head"]["position"][second] += mm * AXIAL[2]
        if turned:
            data["head"]["phase_dir"][second] *= -1
    xml, readouts = readouts_of(path)
    pictures, _ = through(model, text(3, xml), *readouts, CLOSE)
    scan = open_scan(path)
    results = [reconstruct(part, Recon(accel=1, **PLAIN)) for part in (scan.parts or {"": scan}).values()]
    assert len(results) == (2 if turned or mm > 4 else 1)
    for picture in (picture for picture in pictures if picture.series == 1):
        frame, index = picture.counters["repetition"], picture.counters["slice"]
        volume = results[frame].volume if len(results) == 2 else results[0].volume[frame]
        affine = results[frame if len(results) == 2 else 0].affine.copy()
        if len(results) == 1:
            affine[2, 3] += mm * frame  # motion that was followed: recon has one place for all
        assert np.array_equal(picture.pixels[0].T, volume[index])
        assert_there(picture, affine, index)


def with_radial_places(one: bytes, number: int) -> bytes:
    """A readout with places in k-space, as messages have them between its head and its data."""
    (samples,) = struct.unpack_from("<H", one, 36)
    steps = np.outer(np.arange(samples) - samples // 2, [np.cos(number), np.sin(number)])
    head = bytearray(one[:342])
    struct.pack_into("<H", head, 178, 2)
    return bytes(head) + steps.astype("<f4").tobytes() + one[342:]


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("long", "16 samples and the header's encoded matrix 8"),
        ("radial", "trajectories that are not Cartesian"),
        ("uncounted", "30.0 mm and 0 degrees apart, and no counter"),
    ],
)
def test_what_is_no_image_is_refused_as_in_a_file(kind: str, word: str, tmp_path: Path, model: Model) -> None:
    made = replace(WHOLE, slices=(0.0, 30.0), numbers=(0, 0)) if kind == "uncounted" else WHOLE
    _, xml, readouts = messages_of(made, tmp_path)
    if kind == "long":
        xml = xml.replace(b"<x>16</x>", b"<x>8</x>").replace(b"<x>48.0</x>", b"<x>24.0</x>")
    if kind == "radial":
        readouts[1:] = [with_radial_places(one, number) for number, one in enumerate(readouts[1:])]
    with pytest.raises(InputError, match=word):
        through(model, text(3, xml), *readouts, CLOSE)
