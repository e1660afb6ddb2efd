"""serve and stream: a client apart from the server's code gets the images that recon makes of the file."""

import io
import json
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
import pytest
from mrd_client import CLOSE, LAST_IN_SLICE, Client, answers_of, edited, name_of, readouts_of, text
from mrd_server import (
    COILS,
    LIMITS,
    LINES,
    MADE,
    NOISY,
    OBJECT,
    PLAIN,
    SLICES,
    SMALL,
    ask,
    assert_there,
    messages_of,
    serving,
    through,
)
from raw_files import Blob, Coil, Protocol, write_ismrmrd

import mri_d3gm
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.raw.mrd_stream import Incoming, Outgoing
from mri_d3gm.settings import Recon
from mri_d3gm.tasks import listen
from mri_d3gm.tasks.conversation import Conversation, converse
from mri_d3gm.tasks.recon import reconstruct
from mri_d3gm.tasks.serve import Model
from mri_d3gm.transforms import slice_items


def test_two_clients_at_once_get_what_recon_makes_of_the_file(model: Model, tmp_path: Path) -> None:
    path, xml, readouts = messages_of(MADE, tmp_path)
    settings = {"method": "d3gm", "trust": "off", "samples": 1}
    config = json.dumps(settings)
    plain = [text(2, config), text(3, xml), *readouts, CLOSE]
    ended = [text(2, config, b"\0"), text(3, xml, b"\0\0"), text(5, "hello", b"\0"), *readouts, CLOSE]
    with serving(model) as (port, said), ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda messages: ask(port, *messages), (plain, ended)))
    result = mri_d3gm.reconstruct(path, accel=1, device="cpu", threads=1, **settings)
    assert result.std is not None
    order = np.argsort(SLICES).tolist()
    for pictures, texts, closed in found:
        assert closed and not texts
        for series, volume in ((1, result.volume), (2, result.std)):
            mine = [picture for picture in pictures if picture.series == series]
            assert [picture.counters["slice"] for picture in mine] == list(range(8))
            assert [picture.index for picture in mine] == list(range(1, 9))
            for number, picture in enumerate(mine):
                place = order.index(number)
                assert np.array_equal(picture.pixels[0].T, volume[place])
                assert_there(picture, result.affine, place)
                assert picture.time == (2 * (number * len(LINES) + LINES.index((0, 0))))
                np.testing.assert_allclose(picture.position, (0, 0, SLICES[number]), atol=1e-5)
        first = pictures[0].attributes
        assert first["ImageComments"] == ["research only, not for diagnosis"] and first["ImageType"] == ["RECON", "D3GM"]
        widths = [float(picture.attributes["WindowWidth"][0]) for picture in pictures if picture.series == 1]
        assert widths == sorted(widths) and widths[0] > 0
    assert sum("sent" in line for line in said) == 16 and not any("error" in line for line in said)


def test_an_image_comes_back_while_the_next_is_measured(model: Model, tmp_path: Path) -> None:
    _, xml, readouts = messages_of(SMALL, tmp_path)
    half = 1 + (len(readouts) - 1) // 2
    with serving(model) as (port, _):
        client = Client(port)
        client.send([text(3, xml), *readouts[:half]])
        assert client.stream.peek(2)[:2] == struct.pack("<H", 1022)
        client.send([*readouts[half:], CLOSE])
        assert len(client.answers()[0]) == 2


CONFIGURATIONS = [
    (name_of("fast"), "d3gm", False, ["d3gm", "d3gm std"]),
    (text(2, '{"zero_filled": true, "std": false}'), "d3gm", False, ["d3gm", "zero-filled"]),
    (text(2, '{"method": "regression", "zero_filled": true}'), "d3gm", False, ["regression", "regression std", "zero-filled"]),
    (name_of("simplefft.xml"), "zero-filled", True, ["zero-filled"]),
    (text(2, "<?xml version='1.0'?><gadgetronStreamConfiguration/>", b"\0"), "zero-filled", True, ["zero-filled"]),
    (text(2, b"\xff\xfe\x00"), "zero-filled", True, ["zero-filled"]),
    (b"", "zero-filled", False, ["zero-filled"]),
]


@pytest.mark.parametrize(("message", "method", "unknown", "series"), CONFIGURATIONS)
def test_configurations(message: bytes, method: str, unknown: bool, series: list[str], tmp_path: Path, model: Model) -> None:
    _, xml, readouts = messages_of(replace(SMALL, slices=(0.0,)), tmp_path)
    own = model._replace(options=PLAIN | {"method": method})
    pictures, texts = through(own, message, text(3, xml), *readouts, CLOSE)
    assert ["unknown" in one for one in texts] == [True] * unknown
    assert [picture.attributes["SeriesDescriptionAdditional"][0] for picture in pictures] == series
    numbers = [{"s": 2, "z": 3}.get(name.split()[-1][0], 1) if place else 1 for place, name in enumerate(series)]
    assert [picture.series for picture in pictures] == numbers


OBLIQUE = np.array([[0.8, 0.6, 0], [-0.48, 0.64, 0.6], [0.36, -0.48, 0.8]])
ECHOES = {"counts": {"contrast": 2, "repetition": 2}}
KINDS: dict[str, Protocol] = {
    "oblique, cropped": replace(SMALL, orientation=OBLIQUE, centre=(7, -9, 21), matrix=(20, 21, 1), image=(16, 15, 1)),
    "asymmetric echo": replace(SMALL, echo=(5, 8), discard=(2, 3)),
    "calibration lines apart": replace(SMALL, embedded=False, calibration=[(line, 0) for line in range(-4, 4)]),
    "calibration lines embedded": replace(SMALL, calibration=[(line, 0) for line in range(-4, 4)]),
    "averages": replace(SMALL, counts={"average": 3}, slices=(0.0,)),
    "EPI": replace(SMALL, trajectory="epi", alternating=True, navigators=True, ghost=(0.4, 0.3), entries=None),
    "echoes and repetitions": replace(SMALL, **ECHOES),
    "navigators and dummies": replace(SMALL, junk=[23, 27, 31]),
    "full": replace(SMALL, entries=None),
    "without position": replace(SMALL, positioned=False),
}


@pytest.mark.parametrize("kind", KINDS)
def test_images_are_those_of_the_file(kind: str, tmp_path: Path, model: Model) -> None:
    path, xml, readouts = messages_of(KINDS[kind], tmp_path)
    pictures, texts = through(model, text(3, xml), *readouts, CLOSE)
    scan = open_scan(path)
    images = [picture for picture in pictures if picture.series == 1]
    results: list[Any] = []
    for part in (scan.parts or {"": scan}).values():
        results.append(reconstruct(part, Recon(accel=1, **PLAIN)))
    made = KINDS[kind]
    assert len(images) == len(made.slices) * (4 if "echoes" in kind else 1)
    for picture in images:
        result = results[picture.counters["contrast"]]
        volume = result.volume if result.volume.ndim == 3 else result.volume[picture.counters["repetition"]]
        assert np.array_equal(picture.pixels[0].T, volume[picture.counters["slice"]])
        if scan.position_known:
            assert_there(picture, result.affine, picture.counters["slice"])
        np.testing.assert_allclose(picture.fov[:2], np.array(picture.pixels.shape[:0:-1]) * scan.voxel_mm[:2], rtol=1e-5)
    assert not [one for one in texts if "warning" not in one]


def test_a_slab_is_one_volume(tmp_path: Path, model: Model) -> None:
    made = Protocol(matrix=(20, 16, 12), coils=COILS, orientation=OBLIQUE, centre=(3, 4, 5), oversampling=2, **NOISY)
    path, xml, readouts = messages_of(made, tmp_path)
    flagged = [edited(one, flags=LAST_IN_SLICE) if number % 16 == 0 and number else one for number, one in enumerate(readouts)]
    (picture,), _ = through(model, text(3, xml), *flagged, CLOSE)
    result = mri_d3gm.reconstruct(path, accel=1, **PLAIN)
    assert picture.pixels.shape == (12, 16, 20) and np.array_equal(picture.pixels.T, result.volume)
    axes = np.array([picture.read, picture.phase, picture.normal]).T * np.array(picture.fov) / (20, 16, 12)
    lps = np.array(picture.position) - axes @ [10, 8, 6]
    np.testing.assert_allclose(lps * (-1, -1, 1), result.affine[:3, 3], atol=1e-3)
    np.testing.assert_allclose((axes.T * (-1, -1, 1)).T[:, ::-1], result.affine[:3, :3], atol=1e-4)


@pytest.mark.parametrize("flag", [1 << 13, 1 << 24])
def test_the_end_of_a_repetition_completes_what_there_is(flag: int, tmp_path: Path, model: Model) -> None:
    path, xml, readouts = messages_of(SMALL, tmp_path)
    bare = [readouts[0], *(edited(one, flags=0) for one in readouts[1:])]
    half, order = len(SMALL.entries or ()), [0]
    for line in range(half):  # slices in turn
        order += [1 + line, 1 + half + line]
    turns = [bare[number] for number in order]
    turns[-1] = edited(turns[-1], flags=flag)
    late = edited(turns[3], flags=flag)
    out = io.BytesIO()
    talk = Conversation(Outgoing(out), model, 10**8, lambda _: None)
    converse(Incoming(io.BytesIO(b"".join([text(3, xml), *turns, late, CLOSE])), 10**6), talk)
    pictures, texts, _ = answers_of(io.BytesIO(out.getvalue()))
    volume = mri_d3gm.reconstruct(path, accel=1, **PLAIN).volume
    assert [np.array_equal(one.pixels[0].T, volume[number]) for number, one in enumerate(pictures)] == [True, True]
    assert "1 readouts came after" in texts[0]


def test_a_coil_that_held_signal_stays_where_a_slice_has_none_of_it(tmp_path: Path, model: Model) -> None:
    near = Coil((0, 0, 60), 12.0, 3.0)  # reaches the slice at 40 mm alone
    made = replace(SMALL, coils=[*COILS[:2], near], slices=(40.0, 0.0, -40.0))
    wide = [Blob((4, 3, 0), 9.0, 2.0), Blob((0, 0, 40), 9.0, 2.0), Blob((-4, 3, -40), 9.0)]
    path, xml, readouts = write_ismrmrd(tmp_path / "wide.h5", wide, made), *readouts_of(tmp_path / "wide.h5")
    result = mri_d3gm.reconstruct(path, accel=1, **PLAIN)
    assert result.record["Coils"] == 3
    pictures, _ = through(model, text(3, xml), *readouts, CLOSE)
    assert [np.array_equal(one.pixels[0].T, result.volume[2 - number]) for number, one in enumerate(pictures)] == [True] * 3
    scan = open_scan(write_ismrmrd(tmp_path / "one.h5", wide, replace(made, slices=(-40.0,))))
    assert scan.coils == 2  # alone it would have been left out


def test_ismrmrd_reads_what_is_sent(tmp_path: Path, model: Model) -> None:
    _, xml, readouts = messages_of(replace(SMALL, slices=(3.0,)), tmp_path)
    out = io.BytesIO()
    listen.piped(io.BytesIO(b"".join([text(3, xml), *readouts, CLOSE])), out, model, LIMITS, lambda _: None)
    (picture,), _, _ = answers_of(io.BytesIO(out.getvalue()))
    (image,) = ismrmrd.ProtocolDeserializer(io.BytesIO(out.getvalue())).deserialize()
    assert np.array_equal(image.data[0], picture.pixels) and image.meta["ImageComments"] == "research only, not for diagnosis"
    assert tuple(image.matrix_size) == (16, 20, 1) and tuple(image.position) == (0, 0, 3) == picture.position


def test_draws_of_a_file_go_by_the_counters_of_its_slices(tmp_path: Path) -> None:
    scan = open_scan(write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(SMALL, slices=(8.0, 0.0, 4.0))))
    assert scan.number is not None and [scan.number(index) for index in range(3)] == [1, 2, 0]
    assert [item["index"] for item in slice_items(str(tmp_path / "a.h5"), Recon())] == [1, 2, 0]
    scan = open_scan(write_ismrmrd(tmp_path / "b.h5", OBJECT, replace(SMALL, slices=(0.0, 4.0, 8.0))))
    assert scan.number is not None and [scan.number(index) for index in range(3)] == [0, 1, 2]
