"""Coils without signal, of scans in every format."""

from dataclasses import replace
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
from scan_files import WRITERS
from scans import fft2c, phantom

import mri_d3gm
from mri_d3gm.io.arrays.broken_coils import without_broken_coils
from mri_d3gm.io.coil_maps import coil_maps_of
from mri_d3gm.io.open_scan import open_scan, scan_of_array
from mri_d3gm.io.scan import Scan
from mri_d3gm.runs.names import volume_names
from mri_d3gm.settings import Recon
from mri_d3gm.tasks.recon import reconstruct_file

COILS, SLICES, ROWS, COLS = 16, 3, 40, 36
BROKEN = 5  # the coil, from 0
LOUDNESS = {"silent": 0.0, "as loud as the others": 1.0, "loud": 30.0}
SAID = "coil 6 is without signal and left out"
NOISE = 0.02  # deviation


def maps_of(coils: int = COILS) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : ROWS * 1j, -1 : 1 : COLS * 1j]
    angles = 2 * np.pi * np.arange(coils)[:, None, None] / coils
    return np.exp(1j * angles - (x - np.cos(angles)) ** 2 - (y - np.sin(angles)) ** 2)


def noise_like(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    parts = np.random.default_rng(seed).normal(0, NOISE, (2, *shape))
    return parts[0] + 1j * parts[1]


def broken(loudness: float, slices: int = SLICES, frames: int = 1) -> np.ndarray:
    """Every second line and the centre of k-space (frames, slices, coils, rows, cols), one of whose coils is broken."""
    images = phantom(slices, ROWS, COLS)[:, None] * maps_of()
    images[:, BROKEN] = 0
    kspace = fft2c(np.stack([images] * frames)) + noise_like((frames, slices, COILS, ROWS, COLS))
    kspace[:, :, BROKEN] *= loudness
    lines = (np.arange(COLS) % 2 == 0) | (abs(np.arange(COLS) - COLS // 2) < 6)
    return (kspace * lines).astype(np.complex64)


def without(kspace: np.ndarray) -> np.ndarray:
    return np.delete(kspace, BROKEN, 2)


def folder(path: Path, name: str) -> Path:
    (path / name).mkdir()
    return path / name


@pytest.mark.parametrize("kind", LOUDNESS)
@pytest.mark.parametrize("writer", WRITERS)
def test_the_image_is_that_without_the_broken_coil(writer: str, kind: str, tmp_path: Path) -> None:
    kspace = broken(LOUDNESS[kind])
    path = WRITERS[writer](folder(tmp_path, "a"), kspace)
    scan, other = open_scan(path), open_scan(WRITERS[writer](folder(tmp_path, "b"), without(kspace)))
    assert scan.coils == other.coils == COILS - 1 and scan.file_coils == COILS and other.file_coils == COILS - 1
    assert scan.warnings[-1] == SAID and len(scan.warnings) == len(other.warnings) + 1
    for image in range(SLICES):
        np.testing.assert_allclose(scan.read(image), other.read(image), atol=1e-5 * abs(other.read(image)).max())
    volumes = [mri_d3gm.reconstruct(one, method="zero-filled").volume for one in (path, other.name)]
    np.testing.assert_allclose(volumes[0], volumes[1], atol=1e-5 * volumes[1].max())


@pytest.mark.parametrize("writer", ["NumPy npy", "fastMRI", "ISMRMRD"])
def test_a_whole_reconstruction_is_that_without_the_broken_coil(writer: str, tmp_path: Path) -> None:
    kspace, volumes = broken(30.0), []
    for name, held in (("a", kspace), ("b", without(kspace))):
        path = WRITERS[writer](folder(tmp_path, name), held)
        names = volume_names(path, tmp_path / name, "recon")
        record, _ = reconstruct_file(path, Recon(quality="fast", device="cpu", slices="1:2"), names)
        volumes.append(np.asanyarray(nibabel.load(names.result).dataobj))
        assert record["Coils"] == COILS - 1 and (SAID in record["Warnings"]) == (name == "a")
    np.testing.assert_allclose(volumes[0], volumes[1], atol=1e-5 * volumes[1].max())


def counted(scan: Scan) -> tuple[Scan, list[int]]:
    """A scan, and the images that are read of it."""
    seen: list[int] = []

    def read(image: int) -> np.ndarray:
        seen.append(image)
        return scan.read(image)

    return replace(scan, read=read), seen


def plain(kspace: np.ndarray) -> Scan:
    """The scan of an array as a reader gives it, with all of its coils."""
    flat = kspace.reshape(-1, *kspace.shape[2:])
    scan = scan_of_array(fft2c(phantom(1, ROWS, COLS)))
    return replace(scan, coils=kspace.shape[2], slices=len(flat), read=flat.__getitem__)


def test_a_scan_whose_coils_are_fine_is_the_same_after_one_image() -> None:
    scan, seen = counted(plain(without(broken(0.0, slices=9))))
    assert without_broken_coils(scan) is scan and seen == [4]
    single, seen = counted(plain(broken(0.0)[:, :, :1]))
    assert without_broken_coils(single) is single and seen == []


def test_few_images_are_looked_at_for_a_broken_coil() -> None:
    scan, seen = counted(plain(broken(1.0, slices=40)))
    assert without_broken_coils(scan).coils == COILS - 1 and len(seen) == 9
    assert {0, 39} < set(seen)


def test_an_empty_middle_image_does_not_tell() -> None:
    kspace = broken(1.0, slices=9)
    kspace[:, 3:6] = 0
    scan, seen = counted(plain(kspace))
    assert without_broken_coils(scan).warnings == (SAID,) and {3, 4, 5} & set(seen)


def test_a_coil_with_little_signal_stays() -> None:
    """Of which the image shows little: its signal is below the noise of each pixel."""
    kspace = broken(1.0)
    weak = fft2c(phantom(SLICES, ROWS, COLS) * NOISE)
    kspace[:, :, BROKEN] += weak * (kspace[:, :, BROKEN] != 0)
    scan = plain(kspace)
    assert without_broken_coils(scan) is scan


def test_a_coil_that_sees_the_last_slice_alone_stays() -> None:
    kspace = broken(1.0, slices=30)
    kspace[:, -1, BROKEN] += fft2c(phantom(1, ROWS, COLS)[0]) * (kspace[:, -1, BROKEN] != 0)
    scan = plain(kspace)
    assert without_broken_coils(scan) is scan


@pytest.mark.parametrize("loudness", [0, 1])
def test_never_are_all_coils_left_out(loudness: int) -> None:
    scan = plain(noise_like((1, 3, 4, ROWS, COLS)) * loudness)
    assert without_broken_coils(scan) is scan


def test_what_cannot_be_read_is_said_when_it_is_read(tmp_path: Path) -> None:
    kspace = broken(1.0)
    kspace[0, 1, 2, 3, 4] = np.nan
    np.save(tmp_path / "a.npy", kspace[0])
    assert open_scan(tmp_path / "a.npy").coils == COILS


def test_noise_and_calibration_are_of_the_coils_that_are_left() -> None:
    kspace, samples = broken(1.0)[0], noise_like((COILS, 500))
    scan = scan_of_array(kspace, noise=samples)
    assert isinstance(scan.noise, np.ndarray) and np.array_equal(scan.noise, np.delete(samples, BROKEN, 0))
    with_lines = without_broken_coils(replace(plain(kspace[None]), calibration=lambda image: 2 * kspace[image]))
    assert with_lines.calibration is not None
    assert np.array_equal(with_lines.calibration(1), 2 * np.delete(kspace[1], BROKEN, 0))


def test_parts_lose_the_same_coils(tmp_path: Path) -> None:
    kspace = np.stack([broken(1.0)[0], broken(1.0)[0] * 2])  # frames, slices, coils, rows, cols
    np.save(tmp_path / "a.npy", np.stack([kspace, kspace * 3]))
    scan = open_scan(tmp_path / "a.npy")
    assert {part.coils for part in scan.parts.values()} == {COILS - 1} and len(scan.parts) == 2
    assert np.array_equal(list(scan.parts.values())[1].read(4), without(kspace)[1, 1] * 3)


def test_coil_maps_that_are_given_are_of_all_coils_of_the_file(tmp_path: Path) -> None:
    kspace, maps = broken(1.0), maps_of().astype(np.complex64)
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        file["coil_maps"] = maps
    path = WRITERS["NumPy npy"](tmp_path, kspace)
    found = coil_maps_of(open_scan(path), tmp_path / "maps.h5", 1)
    kept = np.delete(maps, BROKEN, 0)
    np.testing.assert_allclose(found, kept / np.linalg.norm(kept, axis=0), atol=1e-6)
    images = [
        mri_d3gm.reconstruct(held[0], coil_maps=given, method="sense").volume
        for held, given in ((kspace, maps), (without(kspace), kept))
    ]
    np.testing.assert_allclose(images[0], images[1], atol=1e-5 * images[1].max())


def test_maps_of_the_file_itself_are_of_all_its_coils(tmp_path: Path) -> None:
    maps = maps_of().astype(np.complex64)
    np.savez(tmp_path / "a.npz", kspace=broken(1.0)[0], coil_maps=np.stack([maps] * SLICES))
    scan = open_scan(tmp_path / "a.npz")
    found = coil_maps_of(scan, None, 2)
    assert scan.coils == COILS - 1 and found is not None and found.shape == (COILS - 1, ROWS, COLS)
