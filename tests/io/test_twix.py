"""Siemens raw data: the image, its place, and what becomes of the readouts; files that mapVBVD reads alike."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from io_files import error_of
from raw_files import Protocol, shots_of, write_ismrmrd_shots
from scans import four_coils
from scipy.spatial.transform import Rotation
from twix_files import (
    FLAT,
    Geometry,
    measurement,
    oversampled,
    protocol,
    quaternion,
    readout,
    readouts,
    write_raid,
    write_twix,
)

from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.raw.twix import rotation
from mri_d3gm.io.scan import Reading, Scan

KSPACE = four_coils(48, 40)
WIDE = oversampled(KSPACE)
NOISE = np.random.default_rng(3).normal(0, 0.1, (2, 4, 256))
NOISE_SCAN = (NOISE[0] + 1j * NOISE[1]).astype(np.complex64)


def oblique(seed: int, slices: int = 2, distance: float = 5.0) -> Geometry:
    read, phase, across = Rotation.random(random_state=seed).as_matrix().T
    first = np.random.default_rng(seed).uniform(-60, 60, 3)
    return first + distance * np.arange(slices)[:, None] * across, read, phase, across


def raid(path: Path, parts: dict[str, str], *data: bytes) -> Path:
    return write_raid(path, [measurement(parts, data)])


def images(scan: Scan) -> np.ndarray:
    return np.stack([scan.read(number) for number in range(scan.slices * scan.frames)])


@pytest.mark.parametrize("vb", [False, True])
def test_the_image_is_that_of_the_same_ismrmrd_file(tmp_path: Path, vb: bool) -> None:
    geometry = oblique(1)
    ours = open_scan(write_twix(tmp_path / "a.dat", WIDE, geometry=geometry, noise=NOISE_SCAN, vb=vb, order=[1, 0]))
    centre, axes = tuple(geometry[0][0]), np.stack(geometry[1:])
    made = Protocol(
        matrix=(48, 40, 1), voxel=(2, 1.5, 5), oversampling=2, orientation=axes, centre=centre, slices=(0, 5),
        dwell=(2.4, int(76800 / 256) / 10), bandwidth=0.793,
    )  # fmt: skip
    other = open_scan(write_ismrmrd_shots(tmp_path / "a.h5", shots_of(WIDE[None, ..., None], made, NOISE_SCAN), made))
    assert (ours.slices, ours.coils, ours.rows, ours.cols, ours.recon_shape) == (2, 4, 48, 40, (48, 40))
    assert ours.mask is None and ours.limits is None and ours.oversampled and ours.position_known and ours.warnings == ()
    np.testing.assert_allclose(images(ours), images(other), atol=1e-5 * abs(KSPACE).max())
    np.testing.assert_allclose(ours.affine, other.affine, atol=1e-3)
    assert ours.voxel_mm == pytest.approx((2, 1.5, 5), abs=1e-4)
    assert (ours.noise == pytest.approx(other.noise)) == (not vb)  # VB's noise scan has another dwell time


def test_oversampling_can_stay(tmp_path: Path) -> None:
    scan = open_scan(write_twix(tmp_path / "a.dat", WIDE), Reading(crop=False))
    assert scan.rows == 96
    np.testing.assert_allclose(images(scan), WIDE, atol=1e-5)


def test_quaternions_are_those_of_scipy_and_columns_those_of_twixtools() -> None:
    from twixtools.geometry import quat_to_rotmat
    from twixtools.quat import quaternion_to_directions

    values = Rotation.random(9, random_state=0).as_quat(scalar_first=True)
    np.testing.assert_allclose(rotation(values), Rotation.from_quat(values, scalar_first=True).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(rotation(values)[0], quat_to_rotmat(*values[0]), atol=1e-12)
    np.testing.assert_allclose(rotation(values)[0].T, quaternion_to_directions(np.roll(values[0], -1)), atol=1e-12)
    for seed in range(20):
        phase, read, across = -rotation(quaternion(oblique(seed))[None])[0].T
        np.testing.assert_allclose([read, phase, across], oblique(seed)[1:], atol=1e-12)
    assert not rotation(np.array([[0.0, 0, 0, 0], [2, 0, 0, 0], [np.nan, 0, 0, 1]])).any()


@pytest.mark.parametrize("solid", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_point_lies_where_it_is_in_the_patient(tmp_path: Path, seed: int, solid: bool) -> None:
    """The signal of a point as Siemens' scanners give it: exp(2 pi i k r), k along the columns of the quaternion's rotation."""
    rng = np.random.default_rng(seed)
    turn = Rotation.random(random_state=rng)
    centre, fov, sizes = rng.uniform(-80, 80, 3), np.array([60.0, 128.0, 40.0]), np.array([30, 64, 10])  # phase, read, slice
    voxel = np.array([rng.integers(4, size - 4) for size in sizes]) - sizes // 2
    if not solid:
        voxel[2] = 1
    point = centre + turn.as_matrix() @ (voxel * fov / sizes)
    k = [(np.arange(size * more) - size * more // 2) / length for size, length, more in zip(sizes, fov, (1, 1, 1), strict=True)]
    wave = [np.exp(2j * np.pi * axis * (turn.as_matrix()[:, number] @ (point - centre))) for number, axis in enumerate(k)]
    plane = wave[1][:, None] * wave[0] + 0.001
    coil = np.array([1, 1j])[:, None, None]
    slices = [(coil * plane * step).astype(np.complex64) for step in (wave[2] if solid else [0.2, 1.0, 0.1])]
    where = {"Quaternion": turn.as_quat(scalar_first=True), "CenterLin": 15, "CenterPar": 5, "CenterCol": 32}
    data = []
    for number, kspace in enumerate(slices):
        position = centre if solid else centre + turn.as_matrix()[:, 2] * (number * 4)
        for line in range(30):
            at = {"Par": number} if solid else {"Sli": number, "SlicePos": position + 0}
            data.append(readout(kspace[:, :, line], Lin=line, **({"SlicePos": position} | at), **where))
    parts = protocol(64, 30, partitions=10 if solid else 1, fov=(128.0, 60.0, 40.0 if solid else 4.0), oversampling=1)
    scan = open_scan(raid(tmp_path / "a.dat", parts, *data))
    volume = np.abs(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(images(scan), axes=(-2, -1))), axes=(-2, -1)))[:, 0]
    found = np.array(np.unravel_index(volume.argmax(), volume.shape))[::-1]
    np.testing.assert_allclose((scan.affine @ [*found, 1])[:3], point * [-1, -1, 1], atol=0.01)


@pytest.mark.parametrize("position", ["HFS", "HFP", "FFS", "FFP", "HFDR", "FFDL"])
def test_the_patients_position_is_reported_and_moves_nothing(tmp_path: Path, position: str) -> None:
    parts = protocol(48, 40, tPatientPosition=f'"{position}"')
    scan = open_scan(raid(tmp_path / "a.dat", parts, *readouts(WIDE, oblique(5))))
    assert scan.facts["patient position"] == position and scan.facts["TR (ms)"] == 100
    assert np.array_equal(scan.affine, open_scan(write_twix(tmp_path / "b.dat", WIDE, geometry=oblique(5))).affine)


@pytest.mark.parametrize("vb", [False, True])
def test_mapvbvd_reads_the_same(tmp_path: Path, vb: bool) -> None:
    mapvbvd = pytest.importorskip("mapvbvd")
    path = write_twix(tmp_path / "a.dat", WIDE, geometry=oblique(2), noise=NOISE_SCAN, vb=vb, lines=range(10, 40))
    other = mapvbvd.mapVBVD(str(path), quiet=True)
    other.image.flagRemoveOS = True
    other.image.squeeze, other.noise.squeeze, other.noise.flagRemoveOS = True, True, False
    data = other.image[""].transpose(3, 1, 0, 2)  # columns, coils, lines, slices
    scan = open_scan(path)
    found = images(scan)
    unwhite = np.linalg.lstsq(found[0].reshape(4, -1).T, data[0].reshape(4, -1).T, rcond=None)[0].T  # ours are whitened
    np.testing.assert_allclose(np.einsum("ij,sjkl->sikl", unwhite, found), data, atol=1e-4 * abs(data).max())
    np.testing.assert_array_equal(other.noise[""].T, NOISE_SCAN)
    assert other.hdr.MeasYaps[("sKSpace", "lBaseResolution")] == 48 and other.hdr.Meas.iPEFTLength == 40
    np.testing.assert_allclose(other.image.slicePos[0], [*oblique(2)[0][0], *quaternion(oblique(2))], rtol=1e-6)
    assert scan.limits == (0, 40) or scan.limits is None


@pytest.mark.parametrize("vb", [False, True])
def test_twixtools_reads_the_same_and_places_it_alike(tmp_path: Path, vb: bool) -> None:
    import twixtools

    path = write_twix(tmp_path / "a.dat", WIDE, geometry=oblique(3), vb=vb)
    other = twixtools.read_twix(str(path), verbose=False, parse_pmu=False, parse_geometry=False)[-1]
    lines = np.stack([mdb.data for mdb in other["mdb"] if mdb.is_image_scan()])
    np.testing.assert_array_equal(lines.reshape(2, 40, 4, 96).transpose(0, 2, 3, 1), WIDE)
    other["hdr"]["Config"]["chronSliceIndices"] = "-"
    other["hdr"]["MeasYaps"]["sSliceArray"]["asSlice"].append(other["hdr"]["MeasYaps"]["sSliceArray"]["asSlice"][0])
    place = twixtools.geometry.Geometry(other, 0)
    np.testing.assert_allclose((place.prs_to_pcs() @ place.rps_to_prs()).T, oblique(3)[1:], atol=1e-6)


def test_slices_are_ordered_by_position(tmp_path: Path) -> None:
    kspace = np.concatenate([WIDE, WIDE[::-1] * 2, WIDE * 3])[:5] * np.arange(1, 6)[:, None, None, None]
    position, read, phase, across = oblique(4, 5)
    shuffled = position[[3, 0, 4, 1, 2]], read, phase, across  # of slice counters 0 to 4
    scan = open_scan(write_twix(tmp_path / "a.dat", kspace, geometry=shuffled, order=[0, 2, 4, 1, 3]))
    plain = open_scan(write_twix(tmp_path / "b.dat", kspace[[1, 3, 4, 0, 2]], geometry=(position, read, phase, across)))
    assert np.array_equal(images(scan), images(plain)) and np.array_equal(scan.affine, plain.affine)
    np.testing.assert_allclose(scan.affine[:3, 2], 5 * across * [-1, -1, 1], atol=1e-4)


def test_the_last_measurement_is_read_and_others_by_number(tmp_path: Path) -> None:
    several = [measurement(protocol(48, 40), readouts(WIDE * factor)) for factor in (1, 2, 3)]
    path = write_raid(tmp_path / "a.dat", several)
    last = open_scan(path)
    assert any("measurement 3 of 3" in text for text in last.warnings)
    np.testing.assert_allclose(last.read(0), 3 * KSPACE[0], atol=1e-5)
    np.testing.assert_allclose(open_scan(path, Reading(measurement=2)).read(1), 2 * KSPACE[1], atol=1e-5)
    assert "holds 3" in error_of(partial(open_scan, how=Reading(measurement=4)), path)


def test_noise_of_an_earlier_measurement_is_that_of_the_coils_meant(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    strong = (rng.normal(size=(6, 2048)) + 1j * rng.normal(size=(6, 2048))) * np.array([9, 1, 2, 3, 4, 9])[:, None] / 100
    adjust = [readout(strong.astype(np.complex64), flags=("NOISEADJSCAN",), coils=[30, 1, 2, 3, 4, 31])]
    first = measurement(protocol(48, 40, tProtocolName='"AdjCoilSens"'), adjust)
    noisy = np.einsum("c,scrk->scrk", np.array([4, 3, 2, 1]), WIDE)
    fields = {"coils": [4, 3, 2, 1]}
    path = write_raid(tmp_path / "a.dat", [first, measurement(protocol(48, 40), readouts(noisy, **fields))])
    scan = open_scan(path)
    power = np.linalg.norm(scan.read(0).reshape(4, -1), axis=1) / np.linalg.norm(KSPACE[0].reshape(4, -1), axis=1)
    np.testing.assert_allclose(power, power.mean(), rtol=0.1)
    level = np.sqrt(np.mean(np.arange(1, 5) ** 2)) / 100 * np.sqrt(5.0 / 2.4 / 0.793)
    assert scan.noise == pytest.approx(level, rel=0.05)
    alone = measurement(protocol(48, 40), readouts(noisy, coils=[4, 3, 2, 40]))
    assert open_scan(write_raid(tmp_path / "b.dat", [first, alone])).noise is None
    assert "no imaging readouts" in error_of(partial(open_scan, how=Reading(measurement=1)), path)


def test_a_noise_scan_of_other_coils_in_the_measurement_is_said_and_not_used(tmp_path: Path) -> None:
    data = [readout(NOISE_SCAN[:3], flags=("NOISEADJSCAN",)), *readouts(WIDE)]
    scan = open_scan(raid(tmp_path / "a.dat", protocol(48, 40), *data))
    assert scan.noise is None and any("noise scan" in text for text in scan.warnings)


def test_readouts_of_fewer_coils_are_said_and_left_out(tmp_path: Path) -> None:
    data = [*readouts(WIDE), *readouts(WIDE[:, :2] * 9, lines=[20])]
    scan = open_scan(raid(tmp_path / "a.dat", protocol(48, 40), *data))
    assert any("2 readouts" in text for text in scan.warnings)
    np.testing.assert_allclose(images(scan), KSPACE, atol=1e-5)


def test_where_no_head_says_the_centre_it_is_the_middle(tmp_path: Path) -> None:
    scan = open_scan(write_twix(tmp_path / "a.dat", WIDE, CenterLin=0))
    np.testing.assert_allclose(images(scan), KSPACE, atol=1e-5)


def test_partial_fourier_is_counted_from_the_centre_in_the_heads(tmp_path: Path) -> None:
    data = readouts(WIDE, lines=range(12, 40), centre=8)  # lines 0 to 27
    scan = open_scan(raid(tmp_path / "a.dat", protocol(48, 40), *data))
    assert scan.limits is None and scan.mask is not None
    assert np.array_equal(scan.mask, np.arange(40)[None] >= 12)
    np.testing.assert_allclose(scan.read(0)[..., 12:], KSPACE[0][..., 12:], atol=1e-5)
    assert not scan.read(0)[..., :12].any()


def test_a_larger_matrix_is_filled_with_zeros_and_interpolation_is_not(tmp_path: Path) -> None:
    data = readouts(WIDE)
    wide = open_scan(raid(tmp_path / "a.dat", protocol(48, 40, iPEFTLength=60), *data))
    assert wide.cols == 60 and wide.limits == (10, 50) and wide.voxel_mm[1] == pytest.approx(1)
    np.testing.assert_allclose(wide.read(0)[..., 10:50], KSPACE[0], atol=1e-5)
    plain = open_scan(raid(tmp_path / "b.dat", protocol(48, 40, iPEFTLength=80, sKSpace__uc2DInterpolation="0x1"), *data))
    assert plain.cols == 40 and plain.limits is None


def test_phase_oversampling_is_cut_from_the_image(tmp_path: Path) -> None:
    parts = protocol(48, 40, fov=(96.0, 48.0, 5.0), sKSpace__dPhaseOversamplingForDialog=0.25)
    scan = open_scan(raid(tmp_path / "a.dat", parts, *readouts(WIDE)))
    assert scan.recon_shape == (48, 32) and scan.cols == 40 and scan.voxel_mm[1] == pytest.approx(1.5)


def test_lines_beyond_the_matrix_are_left_out(tmp_path: Path) -> None:
    data = [*readouts(WIDE, lines=range(0, 40, 3)), readout(WIDE[0, :, :, 0], Lin=41, CenterLin=20, CenterCol=48)]
    scan = open_scan(raid(tmp_path / "a.dat", protocol(48, 40), *data))
    assert any("beyond" in text for text in scan.warnings) and scan.cols == 40


def test_a_slab_with_slice_oversampling(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kspace = (rng.normal(size=(12, 4, 48, 40)) + 1j * rng.normal(size=(12, 4, 48, 40))).astype(np.complex64)
    kspace[6, :, 24, 20] += 100
    parts = protocol(
        48, 40, partitions=12, oversampling=1, sKSpace__dSliceOversamplingForDialog=0.2, sKSpace__lImagesPerSlab=10
    )
    scan = open_scan(raid(tmp_path / "a.dat", parts, *readouts(kspace, solid=True)))
    assert (scan.slices, scan.rows, scan.cols, scan.recon_shape) == (48, 40, 12, (40, 10))
    assert scan.voxel_mm == pytest.approx((1.5, 0.5, 2.0))
    whole = np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(kspace, axes=2), axis=2, norm="ortho"), axes=2)
    np.testing.assert_allclose(scan.read(7), whole[:, :, 7].transpose(1, 2, 0), atol=1e-4)


def test_an_asymmetric_echo_is_placed_by_its_centre_and_cut_samples_are_left_out(tmp_path: Path) -> None:
    short = WIDE[:, :, 16:, :]
    data = readouts(short, CenterCol=32)
    scan = open_scan(raid(tmp_path / "a.dat", protocol(48, 40), *data), Reading(crop=False))
    np.testing.assert_allclose(images(scan)[:, :, 16:], short, atol=1e-6)
    assert scan.mask is not None and scan.mask.shape == (96, 1) and not scan.mask[:16].any()
    cut = [readout(WIDE[0, :, :, line], Lin=line, CenterLin=20, CenterCol=48, CutOff=(3, 2)) for line in range(40)]
    scan = open_scan(raid(tmp_path / "b.dat", protocol(48, 40), *cut), Reading(crop=False))
    np.testing.assert_allclose(scan.read(0)[:, 3:94], WIDE[0][:, 3:94], atol=1e-6)
    assert not scan.read(0)[:, [0, 2, 94, 95]].any()


def test_averages_repetitions_and_echoes(tmp_path: Path) -> None:
    data = [
        line
        for rep in range(2)
        for echo in range(2)
        for average in range(2)
        for line in readouts(WIDE * (1 + rep + 2 * echo + 8 * average), Rep=rep, Eco=echo, Ave=average, TimeStamp=4000 * rep)
    ]
    scan = open_scan(raid(tmp_path / "a.dat", protocol(48, 40), *data))
    assert scan.frames == 2 and scan.frame_axis == "repetition" and scan.time_step == 10
    assert list(scan.parts) == ["echo-1", "echo-2"]
    np.testing.assert_allclose(scan.parts["echo-2"].read(2), KSPACE[0] * 8, atol=1e-4)  # repetition 2: mean of 4 and 12


@pytest.mark.parametrize(("mode", "embedded"), [(2, True), (4, False)])
def test_calibration_lines_are_data_where_they_are_embedded(tmp_path: Path, mode: int, embedded: bool) -> None:
    every, centre = range(0, 40, 4), set(range(14, 26))
    flags = {line: ("PATREFANDIMASCAN",) if line % 4 == 0 else ("PATREFSCAN",) for line in centre}
    data = [one for line in sorted({*every, *centre}) for one in readouts(WIDE, lines=[line], flags=flags.get(line, ()))]
    scan = open_scan(raid(tmp_path / "a.dat", protocol(48, 40, sPat__ucRefScanMode=hex(mode)), *data))
    assert scan.mask is not None
    assert scan.mask.sum() == (len({*every, *centre}) if embedded else 10)
    assert (scan.calibration is None) == embedded
    if scan.calibration is not None:
        np.testing.assert_allclose(scan.calibration(1)[..., 14:26], KSPACE[1][..., 14:26], atol=1e-5)


def test_separate_calibration_lines_are_counted_from_their_own_centre(tmp_path: Path) -> None:
    reference = readouts(WIDE, lines=range(14, 26), centre=6, flags=("PATREFSCAN",))
    data = reference + readouts(WIDE, lines=range(0, 40, 4))
    scan = open_scan(raid(tmp_path / "a.dat", protocol(48, 40, sPat__ucRefScanMode="0x4"), *data))
    assert scan.calibration is not None
    np.testing.assert_allclose(scan.calibration(0)[..., 14:26], KSPACE[0][..., 14:26], atol=1e-5)


def test_lines_read_backwards_are_turned_with_navigators_and_refused_without(tmp_path: Path) -> None:
    def line(number: int, column: np.ndarray, *flags: str) -> bytes:
        turned = number % 2 == 1
        data = column[:, ::-1] if turned else column
        return readout(data, Lin=number, CenterLin=20, CenterCol=48, flags=(*flags, *(["REFLECT"] if turned else [])))

    odd = np.fft.ifft(np.fft.ifftshift(WIDE[0], axes=1), axis=1)
    odd = np.fft.fftshift(odd, axes=1) * np.exp(0.4j + 0.02j * (np.arange(96) - 48))[:, None]
    odd = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(odd, axes=1), axis=1), axes=1)  # which the navigators show
    data = [line(number, (odd if number % 2 else WIDE[0])[..., number]) for number in range(40)]
    navigators = [line(number, (odd if number % 2 else WIDE[0])[..., 20], "PHASCOR") for number in range(3)]
    scan = open_scan(raid(tmp_path / "a.dat", protocol(48, 40), *navigators, *data))
    np.testing.assert_allclose(scan.read(0), KSPACE[0], atol=2e-3 * abs(KSPACE).max())
    assert "navigators" in error_of(open_scan, raid(tmp_path / "b.dat", protocol(48, 40), *data))


def test_samples_under_ramps_become_even(tmp_path: Path) -> None:
    """Samples every microsecond under a trapezoid of 96 us, of an image of 48 rows whose centre is 7 mm off."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=(2, 48, 40)) + 1j * rng.normal(size=(2, 48, 40))
    time = np.arange(0.5, 96)
    strength = np.minimum(1, np.minimum(time, 96 - time) / 20)
    places = np.append(0, np.cumsum((strength[1:] + strength[:-1]) / 2)) * 96 / strength.sum()
    places -= places[47:49].mean()
    at = (np.arange(48) - 24) / 96
    even, uneven = (np.exp(-2j * np.pi * np.outer(k, at)) @ image for k in (np.arange(96) - 47.5, places))
    flat = (places[49] - places[48]) * np.arange(96)
    uneven = uneven * np.exp(-2j * np.pi * 7 / 192 * (flat - places))[:, None]
    values = {"Mode": "2 1", "DestSamples": "96 0", "RampupTime": "20 0", "FlattopTime": "56 0", "RampdownTime": "20 0"}
    parts = protocol(48, 40)
    more = [f'<ParamLong."alRegrid{name}"> {{ {value} }}' for name, value in values.items()]
    more += ['<ParamLong."alRegridDelaySamplesTime"> { 0 0 }', '<ParamDouble."aflRegridADCDuration"> { <Precision> 4  96.0 }']
    parts["Meas"] = "\n".join([*parts["Meas"].splitlines()[:-1], *more])
    data = [readout(uneven[..., line], Lin=line, CenterLin=20, CenterCol=48, ReadOutOffcentre=7) for line in range(40)]
    scan = open_scan(raid(tmp_path / "a.dat", parts, *data), Reading(crop=False))
    np.testing.assert_allclose(scan.read(0), even, atol=2e-3 * abs(even).max())
    damaged = parts | {"Meas": parts["Meas"].replace("4  96.0", "4  9600.0")}
    assert "ramps" in error_of(open_scan, raid(tmp_path / "b.dat", damaged, *data))


def test_feedback_and_dummy_readouts_and_sync_data_are_no_data(tmp_path: Path) -> None:
    plain = readouts(WIDE)
    dummies = [
        one
        for flag in ("RTFEEDBACK", "RETRO_DUMMYSCAN", "PHASESTABSCAN")
        for one in readouts(WIDE * 9, flags=(flag,), lines=[20])
    ]
    sync = bytearray(readout(np.zeros((1, 8), np.complex64), flags=("SYNCDATA",)))
    sync[:4] = len(sync).to_bytes(4, "little")
    scan = open_scan(raid(tmp_path / "a.dat", protocol(48, 40), *dummies, bytes(sync), *plain))
    np.testing.assert_allclose(images(scan), KSPACE, atol=1e-5)
    assert scan.warnings == ()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sKSpace__ucTrajectory": "0x2"}, "trajectory is radial"),
        ({"sKSpace__ucTrajectory": "0x4"}, "trajectory is spiral"),
        ({"sSliceAcceleration__lMultiBandFactor": 2}, "2 slices were excited at once"),
        ({"sKSpace__lBaseResolution": "no"}, "no sKSpace.lBaseResolution"),
        ({"iPEFTLength": 100000}, "declares 100000 lines"),
        ({"sKSpace__lBaseResolution": 10**9}, "samples, which"),
    ],
)
def test_what_cannot_be_reconstructed_is_said(tmp_path: Path, values: dict[str, object], words: str) -> None:
    assert words in error_of(open_scan, raid(tmp_path / "a.dat", protocol(48, 40, **values), *readouts(WIDE)))


def test_without_position_slices_are_ordered_by_number(tmp_path: Path) -> None:
    scan = open_scan(write_twix(tmp_path / "a.dat", WIDE, geometry=FLAT, Quaternion=np.zeros(4)))
    assert not scan.position_known and any("ordered by their numbers" in text for text in scan.warnings)


def test_without_twixtools_the_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_twix(tmp_path / "a.dat", WIDE)
    monkeypatch.setitem(sys.modules, "twixtools", None)
    assert 'pip install "mri-d3gm[siemens]"' in error_of(open_scan, path)
