"""Whitening by the noise scan, and coils that hold no signal."""

from dataclasses import replace
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
from io_files import to_image
from raw_files import Blob, Coil, Protocol, full, write_ismrmrd
from raw_objects import readouts_of

import mri_d3gm
from mri_d3gm.io.coil_maps import coil_maps_of
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.raw.receivers import coils_with_signal, named_coils
from mri_d3gm.io.scan import Scan
from mri_d3gm.runs.names import volume_names
from mri_d3gm.settings import Recon
from mri_d3gm.tasks.recon import reconstruct_file

OBJECT = [Blob((4, -3, 1), 14.0, 3.0), Blob((-25, 20, 0), 9.0, 2.0), Blob((20, 25, -2), 10.0, 1.5)]


def ring(count: int, value: complex = 1.0) -> list[Coil]:
    """Coils around the object."""
    angles = 2 * np.pi * np.arange(count) / count
    return [Coil((90 * np.cos(angle), 90 * np.sin(angle), 0.0), 60.0, value * np.exp(1j * angle)) for angle in angles]


def correlated(count: int, seed: int = 0) -> np.ndarray:
    """A covariance whose coils differ by several times and are correlated by up to a half or more."""
    random = np.random.default_rng(seed)
    mixing = np.eye(count) + 0.3 * (random.normal(size=(count, count)) + 1j * random.normal(size=(count, count))) / count**0.5
    gains = np.exp(random.uniform(-0.7, 0.7, count))[:, None]
    return (gains * mixing) @ (gains * mixing).conj().T * 4e-4


WIDE = Protocol(matrix=(64, 48, 1), coils=ring(8), covariance=correlated(8), noise_samples=20000, oversampling=2)


def edge_of(scan: Scan) -> np.ndarray:
    """Samples (coils, n) that hold only noise: those at the corners of k-space."""
    return scan.read(0)[:, :12, :].reshape(scan.coils, -1).astype(np.complex128)


@pytest.mark.parametrize("dwell", [(5.0, 5.0), (5.0, 2.5), (2.0, 8.0), (20.0, 2.4)])
@pytest.mark.parametrize("bandwidth", [1.0, 0.793])
def test_the_noise_scan_tells_the_noise_of_the_image(dwell: tuple[float, float], bandwidth: float, tmp_path: Path) -> None:
    scan = open_scan(write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(WIDE, dwell=dwell, bandwidth=bandwidth)))
    assert WIDE.covariance is not None and scan.warnings == () and isinstance(scan.noise, float)
    assert scan.noise == pytest.approx((np.trace(WIDE.covariance).real / 8 / 2) ** 0.5, rel=0.1)
    samples = edge_of(scan)
    covariance = samples @ samples.conj().T / samples.shape[1] / 2 / scan.noise**2
    np.testing.assert_allclose(covariance, np.eye(8), atol=0.2)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 0.1


def test_given_coil_maps_are_whitened_as_the_scan_is(tmp_path: Path) -> None:
    """Maps of the coils as they are, of which the scan holds mixtures."""
    places = [(np.arange(size) - size // 2) * mm for size, mm in zip(WIDE.matrix, WIDE.voxel, strict=True)]
    grid = np.stack(np.meshgrid(*places[:2], indexing="ij"))
    distances = [np.square(grid - np.array(coil.position[:2])[:, None, None]).sum(0) for coil in WIDE.coils]
    true = np.array(
        [one.value * np.exp(-far / 2 / one.width**2) for one, far in zip(WIDE.coils, distances, strict=True)], np.complex64
    )
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        file["coil_maps"] = true
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, WIDE)
    scan = open_scan(path)
    images, maps = to_image(scan.read(0)), coil_maps_of(scan, tmp_path / "maps.h5", 0)
    assert maps is not None
    np.testing.assert_allclose(np.linalg.norm(maps, axis=0), 1, atol=1e-6)
    inside = np.linalg.norm(images, axis=0) > 0.1 * np.linalg.norm(images, axis=0).max()
    as_given = true / np.linalg.norm(true, axis=0)
    missed = [
        1 - np.square(abs((one.conj() * images).sum(0)[inside])).sum() / np.square(abs(images[:, inside])).sum()
        for one in (maps, as_given)
    ]
    assert missed[0] < 0.02 and missed[1] > 5 * missed[0]
    by_name = mri_d3gm.reconstruct(path, coil_maps=tmp_path / "maps.h5", method="sense").volume
    np.testing.assert_array_equal(by_name, mri_d3gm.reconstruct(path, coil_maps=true, method="sense").volume)


def test_the_noise_of_a_slab_is_that_of_its_readouts(tmp_path: Path) -> None:
    made = replace(WIDE, matrix=(48, 32, 16), coils=ring(4), covariance=correlated(4), dwell=(5.0, 2.5))
    scan = open_scan(write_ismrmrd(tmp_path / "a.h5", OBJECT, made))
    outer = np.stack([scan.read(index)[:, :6] for index in range(0, scan.slices, 4)])
    assert outer.real.std() == pytest.approx(scan.noise, rel=0.1)


def test_without_dwell_times_the_noise_scan_is_taken_as_it_is(tmp_path: Path) -> None:
    scan = open_scan(
        write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(WIDE, dwell=(0.0, 5.0), covariance=None, noise_samples=0))
    )
    assert scan.noise is None and scan.warnings == ()
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, WIDE)
    with readouts_of(path) as data:
        data["head"]["sample_time_us"] = 0
    assert "dwell times are not in the file" in open_scan(path).warnings[0]


def test_a_noise_scan_too_short_for_its_coils_is_not_used(tmp_path: Path) -> None:
    scan = open_scan(write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(WIDE, noise_samples=12)))
    assert scan.noise is None and scan.warnings == ("the noise scan is too short or damaged and is not used",)


def test_a_noise_scan_of_other_coils_is_not_used(tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(WIDE, noise_samples=1000))
    with readouts_of(path) as data:
        data["head"]["active_channels"][0] = 4
        data["data"][0] = data["data"][0][: 8 * 1000]
    scan = open_scan(path)
    assert (
        scan.noise is None
        and scan.coils == 8
        and scan.warnings == ("the noise scan has another number of coils and is not used",)
    )


# ---- coils without signal

BROKEN = 5  # the coil, from 0
LOUDNESS = {"silent": 0.0, "quiet": 0.1, "as loud as the others": 1.0, "loud": 30.0}


def with_broken_coil(loudness: float, noise_samples: int) -> Protocol:
    coils = ring(16)
    coils[BROKEN] = coils[BROKEN]._replace(value=0.0)
    covariance = correlated(16)
    covariance[BROKEN] = covariance[:, BROKEN] = 0
    covariance[BROKEN, BROKEN] = loudness**2 * 4e-4
    slices = (0.0, 5.0)
    return Protocol(
        matrix=(48, 40, 1), coils=coils, covariance=covariance, noise_samples=noise_samples, slices=slices,
        entries=full([*range(-20, -8, 2), *range(-8, 8), *range(8, 20, 2)]),
    )  # fmt: skip


def without_coil(path: Path, other: Path) -> Path:
    """The file as it were without the broken coil."""
    with h5py.File(path) as file, h5py.File(other, "w") as made:
        file.copy("dataset", made)
        data = file["dataset/data"][:]
        coils = data["head"]["active_channels"][0]
        for index, samples in enumerate(data["data"]):
            data["data"][index] = np.delete(samples.reshape(coils, -1), BROKEN, 0).ravel()
        data["head"]["active_channels"] = coils - 1
        made["dataset/data"][:] = data
    return other


@pytest.mark.parametrize("kind", LOUDNESS)
@pytest.mark.parametrize("noise_samples", [0, 4000])
def test_a_broken_coil_is_left_out_and_named(kind: str, noise_samples: int, tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, with_broken_coil(LOUDNESS[kind], noise_samples))
    scan, other = open_scan(path), open_scan(without_coil(path, tmp_path / "b.h5"))
    assert scan.coils == other.coils == 15 and other.warnings == ()
    assert scan.warnings == ("coil 6 is without signal and left out",)
    assert scan.noise == other.noise
    for index in range(2):
        np.testing.assert_allclose(scan.read(index), other.read(index), atol=1e-5 * np.abs(other.read(index)).max())


@pytest.mark.parametrize("noise_samples", [0, 4000])
def test_the_image_is_that_without_the_broken_coil(noise_samples: int, tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, with_broken_coil(30.0, noise_samples))
    volumes = []
    for file in (path, without_coil(path, tmp_path / "b.h5")):
        names = volume_names(file, tmp_path, "recon")
        record, _ = reconstruct_file(file, Recon(quality="fast", device="cpu"), names)
        volumes.append(np.asanyarray(nibabel.load(names.result).dataobj))
        assert record["Coils"] == 15
    np.testing.assert_allclose(volumes[0], volumes[1], atol=1e-3 * volumes[1].max())


def test_a_coil_that_is_silent_in_the_noise_scan_alone_is_left_out(tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, WIDE)
    with readouts_of(path) as data:
        samples = data["data"][0].reshape(8, -1).copy()
        samples[2] = 0
        data["data"][0] = samples.ravel()
    scan = open_scan(path)
    assert scan.coils == 7 and scan.warnings == ("coil 3 is silent in the noise scan and left out",)


def test_a_coil_that_sees_one_slice_alone_is_kept(tmp_path: Path) -> None:
    """The last of many slices, measured last."""
    coils = [*ring(3), Coil((0.0, 0.0, 240.0), 12.0)]
    blobs = [Blob((4, -3, place), 8.0, 3.0) for place in range(0, 250, 10)]
    made = Protocol(matrix=(24, 20, 1), coils=coils, slices=range(0, 250, 5), covariance=np.eye(4) * 1e-4)
    scan = open_scan(write_ismrmrd(tmp_path / "a.h5", blobs, made))
    assert scan.coils == 4 and scan.warnings == ()


def test_no_coil_is_left_out_where_none_would_remain() -> None:
    random = np.random.default_rng(0)
    assert coils_with_signal(random.exponential(size=(4, 5000))).all()
    signal = random.exponential(size=(4, 5000))
    signal[1, :20] += 300
    assert coils_with_signal(signal).tolist() == [False, True, False, False]
    assert coils_with_signal(np.zeros((2, 10))).tolist() == [False, False]


def test_coils_are_counted_from_one() -> None:
    assert named_coils(np.array([False, True, False])) == "coil 2 is"
    assert named_coils(np.array([True, True, False])) == "coils 1, 2 are"
