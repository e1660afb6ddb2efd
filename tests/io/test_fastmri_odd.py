"""Files of fastMRI's layout whose k-space is not what it seems: mended and said, or one line."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from heads import coils, every, fft2c, head, ifft2c, kspace_of, phase
from scans import header, write_scan

from mri_d3gm.errors import InputError
from mri_d3gm.io.arrays.fastmri_h5 import is_fastmri
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.scan import Reading, Scan, cropped, read_reference

ROWS, COLS, PARTITIONS = 64, 56, 16
STEP_2 = "<kspace_encoding_step_2><minimum>0</minimum><maximum>15</maximum><center>8</center></kspace_encoding_step_2>"
SLICES = np.stack([head(ROWS, COLS, 3, place) for place in np.linspace(-0.6, 0.7, PARTITIONS)])


def said(scan: Scan) -> str:
    return " ".join(scan.warnings)


def images_of(scan: Scan) -> np.ndarray:
    """(images, rows, cols) magnitudes over coils."""
    every_image = range(scan.slices * scan.frames)
    return np.stack([cropped(np.linalg.norm(ifft2c(scan.read(index)), axis=0), scan) for index in every_image])


# a 3-D scan


def xml_3d(partitions: int = PARTITIONS, kept: int = PARTITIONS, oversampling: int = 1, more: str = STEP_2) -> str:
    xml = header(ROWS * oversampling, COLS, oversampling)
    for size, depth in ((partitions, 2 * partitions), (kept, 2 * kept)):
        xml = xml.replace("<z>1</z>", f"<z>{size}</z>", 1).replace("<z>4</z>", f"<z>{depth}</z>", 1)
    return xml.replace("</kspace_encoding_step_1>", f"</kspace_encoding_step_1>{more}")


def kspace_3d(coil_count: int = 1, oversampling: int = 1) -> np.ndarray:
    """(partitions, coils, rows, cols) of SLICES, a little noise."""
    volume = SLICES[:, None] * phase(ROWS, COLS) * coils(coil_count, ROWS, COLS)
    edge = ROWS * (oversampling - 1) // 2
    volume = np.pad(volume, ((0, 0), (0, 0), (edge, edge), (0, 0)))
    draws = np.random.default_rng(0).normal(0, 1e-4, (2, *volume.shape))
    return along_partitions(fft2c(volume + draws[0] + 1j * draws[1]))


def along_partitions(hybrid: np.ndarray) -> np.ndarray:
    shifted = np.fft.fft(np.fft.ifftshift(hybrid, 0), axis=0, norm="ortho")
    return np.fft.fftshift(shifted, 0).astype(np.complex64)


@pytest.mark.parametrize("coil_count", [1, 3])
@pytest.mark.parametrize("oversampling", [1, 2])
def test_partitions_that_the_header_tells_of_become_slices(coil_count: int, oversampling: int, tmp_path: Path) -> None:
    kspace = kspace_3d(coil_count, oversampling)
    scan = open_scan(
        write_scan(tmp_path / "a.h5", kspace if coil_count > 1 else kspace[:, 0], xml_3d(oversampling=oversampling))
    )
    assert (scan.slices, scan.coils, scan.rows, scan.cols) == (PARTITIONS, coil_count, ROWS, COLS)
    assert scan.mask is None and scan.voxel_mm[2] == 2 and "3-D scan: 16 partitions" in said(scan)
    np.testing.assert_allclose(images_of(scan), SLICES, atol=2e-3)
    np.testing.assert_allclose(read_reference(scan, 5), SLICES[5], atol=2e-3)
    assert scan.read(3).dtype == np.complex64 and scan.read(3).flags.c_contiguous


def test_slice_oversampling_is_removed(tmp_path: Path) -> None:
    scan = open_scan(write_scan(tmp_path / "a.h5", kspace_3d(), xml_3d(kept=12)))
    assert scan.slices == 12
    np.testing.assert_allclose(images_of(scan), SLICES[2:14], atol=2e-3)


def test_partitions_undersampled_along_columns_or_padded_become_slices_too(tmp_path: Path) -> None:
    lines = every(COLS, 3, 10)
    scan = open_scan(write_scan(tmp_path / "a.h5", kspace_3d() * lines, xml_3d()))
    assert np.array_equal(scan.mask, lines[None]) and scan.masks is None
    np.testing.assert_allclose(np.abs(scan.read(4))[0], np.abs(fft2c(SLICES[4] * phase(ROWS, COLS)) * lines), atol=2e-2)
    kspace = kspace_3d()
    kspace[:2] = 0
    scan = open_scan(write_scan(tmp_path / "b.h5", kspace, xml_3d()))
    assert "empty count as zeros: 2 of 16" in said(scan)


@pytest.mark.parametrize("plain", [False, True])
def test_a_plain_transform_of_a_volume_gives_its_slices_in_order(plain: bool, tmp_path: Path) -> None:
    volume = SLICES * phase(ROWS, COLS)
    kspace = np.fft.fftn(volume if plain else np.fft.ifftshift(volume), norm="ortho").astype(np.complex64)
    scan = open_scan(write_scan(tmp_path / "a.h5", kspace, xml_3d()))
    np.testing.assert_allclose(images_of(scan), SLICES, atol=1e-3)


def test_slices_stay_slices_whatever_the_header_says_of_a_third_axis(tmp_path: Path) -> None:
    kspace = kspace_of(SLICES, 2)
    for xml in (xml_3d(), header(ROWS, COLS)):
        scan = open_scan(write_scan(tmp_path / "a.h5", kspace, xml))
        assert np.array_equal(scan.read(3), kspace[3]) and scan.warnings == ()


def test_partitions_that_no_header_tells_of_are_said(tmp_path: Path) -> None:
    kspace = kspace_3d(2)
    scan = open_scan(write_scan(tmp_path / "a.h5", kspace, header(ROWS, COLS)))
    assert "look like the partitions of a 3-D scan" in said(scan) and np.array_equal(scan.read(3), kspace[3])


@pytest.mark.parametrize("own", [False, True])
def test_undersampled_partitions_are_one_line(own: bool, tmp_path: Path) -> None:
    plane = np.stack([every(COLS, 2, 10, number % 2) for number in range(PARTITIONS)])[:, None]
    datasets: dict[str, Any] = {"mask": plane} if own else {}
    for lines in (plane, (np.arange(PARTITIONS) % 2 == 0)[:, None, None]):
        path = write_scan(tmp_path / "a.h5", kspace_3d()[:, 0] * lines, xml_3d(), **datasets)
        with pytest.raises(InputError, match=r"partition.* undersampled") as error:
            open_scan(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)


# masks of their own


OFFSETS = np.stack([every(COLS, 4, 8, number % 4) for number in range(6)])
FRAMES = kspace_of(np.stack([head(ROWS, COLS, 3)] * 6), 2)


@pytest.mark.parametrize("shape", [None, (6, COLS), (6, 1, COLS), (6, 1, 1, COLS), (6, ROWS, COLS)])
def test_every_image_has_the_lines_that_it_measured(shape: tuple[int, ...] | None, tmp_path: Path) -> None:
    datasets: dict[str, Any] = {}
    if shape is not None:
        full = np.broadcast_to(OFFSETS[:, None], (6, ROWS, COLS))
        datasets["mask"] = (full if shape == (6, ROWS, COLS) else OFFSETS.reshape(shape)).astype(np.float32)
    scan = open_scan(write_scan(tmp_path / "a.h5", FRAMES * OFFSETS[:, None, None], header(ROWS, COLS), **datasets))
    assert scan.masks is not None and np.array_equal(np.stack([scan.masks(index) for index in range(6)]), OFFSETS[:, None])
    assert np.array_equal(scan.mask, OFFSETS.any(0)[None]) and read_reference(scan, 0) is None
    assert [len(scan.own_masks()), len(scan.own_masks([1, 2]))] == [6, 2] and scan.warnings == ()


def test_images_may_differ_in_single_samples_and_in_one_missing_line(tmp_path: Path) -> None:
    points = np.random.default_rng(0).random((6, ROWS, COLS)) < 0.4
    points[:, 28:36, 24:32] = True
    scan = open_scan(write_scan(tmp_path / "a.h5", FRAMES * points[:, None], header(ROWS, COLS)))
    assert scan.masks is not None and np.array_equal(np.stack([scan.masks(index) for index in range(6)]), points)
    dropped = np.ones((6, COLS), bool)
    dropped[4, 9] = False
    scan = open_scan(write_scan(tmp_path / "b.h5", FRAMES * dropped[:, None, None], header(ROWS, COLS)))
    assert scan.masks is not None and np.array_equal(np.stack([scan.masks(index) for index in range(6)]), dropped[:, None])


def test_as_many_images_as_rows_and_a_mask_of_either(tmp_path: Path) -> None:
    """(images, cols) or (rows, cols): what is zero tells."""
    images = np.concatenate([FRAMES[:, :1]] * 11)[:ROWS]
    lines = np.stack([every(COLS, 4, 8, number % 4) for number in range(ROWS)])
    scan = open_scan(write_scan(tmp_path / "a.h5", images * lines[:, None, None], header(ROWS, COLS), mask=lines))
    assert scan.masks is not None and np.array_equal(scan.masks(5), lines[5:6])
    scan = open_scan(write_scan(tmp_path / "b.h5", images * lines, header(ROWS, COLS), mask=lines))
    assert scan.masks is None and np.array_equal(scan.mask, lines)
    scan = open_scan(write_scan(tmp_path / "c.h5", images, header(ROWS, COLS), mask=lines))
    assert scan.masks is None and np.array_equal(scan.mask, lines)


def test_the_mask_of_one_image_for_others_of_other_lines_is_said(tmp_path: Path) -> None:
    scan = open_scan(write_scan(tmp_path / "a.h5", FRAMES * OFFSETS[:, None, None], header(ROWS, COLS), mask=OFFSETS[0]))
    assert scan.masks is not None and np.array_equal(scan.masks(3), OFFSETS[3:4]) and "mask does not fit" in said(scan)


def test_empty_images_do_not_make_the_others_differ(tmp_path: Path) -> None:
    frames = FRAMES * OFFSETS[0]
    frames[2] = 0
    scan = open_scan(write_scan(tmp_path / "a.h5", frames, header(ROWS, COLS)))
    assert scan.masks is None and np.array_equal(scan.mask, OFFSETS[:1])


# order and halves, padding, coils


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("accel", [1, 3])
def test_a_centre_at_index_0_is_moved_with_its_mask(accel: int, own: bool, tmp_path: Path) -> None:
    lines = every(COLS, accel, 12)
    datasets: dict[str, Any] = {"mask": np.fft.ifftshift(lines)} if own else {}
    path = write_scan(tmp_path / "a.h5", np.fft.ifftshift(FRAMES * lines, (-2, -1)), header(ROWS, COLS), **datasets)
    scan = open_scan(path)
    assert "index 0 along rows and columns" in said(scan)
    assert scan.mask is None if accel == 1 else np.array_equal(scan.mask, lines[None])
    assert np.array_equal(scan.read(2), FRAMES[2] * lines)


def test_padding_in_the_middle_of_kspace_from_index_0_is_what_was_not_encoded(tmp_path: Path) -> None:
    inside = abs(np.arange(COLS) - COLS // 2 + 0.5) < 22
    scan = open_scan(write_scan(tmp_path / "a.h5", np.fft.ifftshift(FRAMES * inside, (-2, -1)), header(ROWS, COLS)))
    assert scan.mask is None and scan.limits == (6, 50)


@pytest.mark.parametrize("accel", [1, 3])
def test_rows_of_an_image_are_transformed_before_oversampling_is_removed(accel: int, tmp_path: Path) -> None:
    image = np.pad(head(ROWS, COLS, 3), ((ROWS // 2, ROWS // 2), (0, 0))) * coils(2, 2 * ROWS, COLS)
    columns = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(image, -1), norm="ortho"), -1) * every(COLS, accel, 12)
    scan = open_scan(write_scan(tmp_path / "a.h5", columns[None], header(2 * ROWS, COLS, 2)))
    assert "rows of kspace are those of an image" in said(scan) and (scan.rows, scan.oversampled) == (ROWS, True)
    assert (scan.mask is None) == (accel == 1)
    whole = fft2c(image[:, ROWS // 2 : -ROWS // 2]) * every(COLS, accel, 12)
    np.testing.assert_allclose(scan.read(0), whole, atol=1e-4)


def test_partial_fourier_is_missing_and_symmetric_padding_is_not(tmp_path: Path) -> None:
    place = np.arange(COLS)
    for lines, limits in ((place < 40, None), ((place >= 4) & (place < 40), (4, 52))):
        scan = open_scan(write_scan(tmp_path / "a.h5", FRAMES * lines, header(ROWS, COLS)))
        assert np.array_equal(scan.mask, lines[None]) and scan.limits == limits
    scan = open_scan(write_scan(tmp_path / "a.h5", FRAMES * ((place >= 4) & (place < 52)), header(ROWS, COLS)))
    assert scan.mask is None and scan.limits == (4, 52)


def test_header_limits_on_one_side_of_the_centre_are_partial_fourier(tmp_path: Path) -> None:
    xml = header(ROWS, COLS, last=39, centre=COLS // 2)
    for lines in (np.arange(COLS) < 40, every(COLS, 3, 10) & (np.arange(COLS) < 40)):
        scan = open_scan(write_scan(tmp_path / "a.h5", FRAMES * lines, xml))
        assert np.array_equal(scan.mask, lines[None]) and scan.limits is None


def test_a_partial_echo_is_missing_unless_oversampling_is_removed(tmp_path: Path) -> None:
    image = np.pad(head(ROWS, COLS, 3), ((ROWS // 2, ROWS // 2), (0, 0))) * coils(2, 2 * ROWS, COLS)
    path = write_scan(tmp_path / "a.h5", (fft2c(image) * (np.arange(2 * ROWS) >= 40)[:, None])[None], header(2 * ROWS, COLS, 2))
    scan = open_scan(path)
    assert scan.mask is None and "partial echo" in said(scan)
    kept = open_scan(path, Reading(crop=False))
    assert np.array_equal(kept.mask, (np.arange(2 * ROWS) >= 40)[:, None]) and "partial echo" not in said(kept)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_a_partial_echo_of_undersampled_columns_too(shared: bool, own: bool, tmp_path: Path) -> None:
    columns = OFFSETS[:1].repeat(6, 0) if shared else OFFSETS
    measured = (np.arange(2 * ROWS) >= 40)[:, None] & columns[:, None]
    image = np.pad(head(ROWS, COLS, 3), ((ROWS // 2, ROWS // 2), (0, 0))) * coils(2, 2 * ROWS, COLS)
    datasets = {"mask": measured} if own else {}
    path = write_scan(tmp_path / "a.h5", fft2c(image) * measured[:, None], header(2 * ROWS, COLS, 2), **datasets)
    for scan, wanted in ((open_scan(path), columns[:, None]), (open_scan(path, Reading(crop=False)), measured)):
        masks = [scan.mask if scan.masks is None else scan.masks(index) for index in range(6)]
        assert np.array_equal(masks, wanted) and (scan.masks is None) == shared
        assert np.array_equal(np.broadcast_to(scan.mask, wanted[0].shape), wanted.any(0))
        assert ("partial echo" in said(scan)) == scan.oversampled


def test_padding_on_one_side_is_moved_with_its_mask(tmp_path: Path) -> None:
    small = kspace_of(head(ROWS, 40, 3)[None], 2)
    stored = np.pad(small, ((0, 0), (0, 0), (0, 0), (0, 16)))
    scan = open_scan(write_scan(tmp_path / "a.h5", stored, header(ROWS, COLS)))
    assert scan.mask is None and scan.limits == (8, 48) and "padded on one side" in said(scan)
    assert np.array_equal(scan.read(0)[..., 8:48], small[0])


def with_channels(count: int) -> str:
    system = f"<acquisitionSystemInformation><receiverChannels>{count}</receiverChannels></acquisitionSystemInformation>"
    return header(ROWS, COLS).replace("<encoding>", f"{system}<encoding>")


def slices_of_coils() -> np.ndarray:
    """(3, 8, rows, cols), of three heads."""
    return np.stack([kspace_of(head(ROWS, COLS, seed), 8, seed=seed) for seed in range(3)])


def test_coils_before_slices_are_taken_so(tmp_path: Path) -> None:
    kspace = slices_of_coils()
    for xml in (with_channels(8), header(ROWS, COLS)):
        scan = open_scan(write_scan(tmp_path / "a.h5", kspace.swapaxes(0, 1), xml))
        assert (scan.slices, scan.coils) == (3, 8) and "8 coils come before the slices" in said(scan)
        assert np.array_equal(scan.read(1), kspace[1])
        scan = open_scan(write_scan(tmp_path / "b.h5", kspace, xml))
        assert (scan.slices, scan.coils, scan.warnings) == (3, 8, ()) and np.array_equal(scan.read(1), kspace[1])


def test_coils_of_one_slice_in_three_axes(tmp_path: Path) -> None:
    one = slices_of_coils()[0]
    for kspace in (one, one[:, None]):
        scan = open_scan(write_scan(tmp_path / "a.h5", kspace, with_channels(8)))
        assert (scan.slices, scan.coils) == (1, 8) and np.array_equal(scan.read(0), one)
    scan = open_scan(write_scan(tmp_path / "a.h5", one, header(ROWS, COLS)))
    assert (scan.slices, scan.coils) == (8, 1) and "give kspace as (1, 8, rows, cols)" in said(scan)
    slices = np.stack([kspace_of(head(ROWS, COLS, seed))[0] for seed in range(8)])
    assert open_scan(write_scan(tmp_path / "a.h5", slices, with_channels(8))).slices == 8


def test_a_reference_that_is_mirrored_is_said(tmp_path: Path) -> None:
    images = np.stack([head(ROWS, COLS, seed) for seed in range(2)])
    kspace = kspace_of(images, 2)
    for reference, words in (
        (images, ""),
        (images[:, ::-1], "mirrored along rows"),
        (images[..., ::-1], "mirrored along columns"),
    ):
        path = write_scan(tmp_path / "a.h5", kspace, header(ROWS, COLS), reconstruction_rss=reference.astype(np.float32))
        assert words in said(open_scan(path)) and bool(words) == bool(open_scan(path).warnings)


@pytest.mark.parametrize("scale", [1e-20, 1 / np.sqrt(ROWS * COLS), 1e-3, 0.9, 1.1, 1e3, 1e20])
def test_a_reference_in_other_units_is_put_into_those_of_kspace(scale: float, tmp_path: Path) -> None:
    images = np.stack([head(ROWS, COLS, seed) for seed in range(2)])
    path = write_scan(
        tmp_path / "a.h5", kspace_of(images, 2), header(ROWS, COLS), reconstruction_rss=np.float32(scale * images)
    )
    scan = open_scan(path)
    assert "reconstruction_rss is in other units" in said(scan) and len(scan.warnings) == 1
    np.testing.assert_allclose(read_reference(scan, 0), images[0], rtol=0.01, atol=1e-3)


def test_other_references_stay(tmp_path: Path) -> None:
    """Those of nearly the same size, of another image, and of an undersampled scan, which none scores, and that is said."""
    images = np.stack([head(ROWS, COLS, seed) for seed in range(2)])
    for reference in (images, 1.05 * images, 0.95 * images, 7 * np.random.default_rng(0).random(images.shape), 0 * images):
        own = reference.astype(np.float32)
        scan = open_scan(write_scan(tmp_path / "a.h5", kspace_of(images, 2), header(ROWS, COLS), reconstruction_rss=own))
        assert scan.warnings == () and np.array_equal(read_reference(scan, 1), own[1])
    kspace = kspace_of(images, 2) * every(COLS, 4, 10)
    scan = open_scan(write_scan(tmp_path / "a.h5", kspace, header(ROWS, COLS), reconstruction_rss=np.float32(9 * images)))
    assert "reconstruction_rss is not used: k-space is undersampled" in said(scan) and read_reference(scan, 0) is None


@pytest.mark.parametrize("shape", [(2, 2 * ROWS, 2 * COLS), (2, COLS, ROWS), (2, 32, 32), (1, ROWS, COLS)])
def test_a_reference_of_another_shape_is_said(shape: tuple[int, ...], tmp_path: Path) -> None:
    images = np.stack([head(ROWS, COLS, seed) for seed in range(2)])
    for name in ("reconstruction_rss", "reconstruction_esc"):
        scan = open_scan(write_scan(tmp_path / "a.h5", kspace_of(images, 2), header(ROWS, COLS), **{name: np.ones(shape)}))
        assert f"{name} is float64 of shape {shape}" in said(scan) and "against the image of kspace" in said(scan)
        np.testing.assert_allclose(read_reference(scan, 0), np.linalg.norm(ifft2c(scan.read(0)), axis=0), atol=1e-4)


def test_a_ghost_and_another_trajectory_are_said(tmp_path: Path) -> None:
    kspace = FRAMES[:1].copy()
    kspace[..., 1::2] = kspace[..., ::-1, 1::2]
    assert "ghost" in said(open_scan(write_scan(tmp_path / "a.h5", kspace, header(ROWS, COLS))))
    xml = header(ROWS, COLS).replace("</encoding>", "<trajectory>radial</trajectory></encoding>")
    assert "trajectory radial" in said(open_scan(write_scan(tmp_path / "b.h5", FRAMES, xml)))
    assert open_scan(write_scan(tmp_path / "c.h5", FRAMES, xml.replace("radial", "cartesian"))).warnings == ()


# files that cannot be read


def test_raw_data_of_ismrmrd_are_not_of_this_layout(tmp_path: Path) -> None:
    for group in ("dataset", "kspace", "LR_1"):
        path = tmp_path / f"{group}.h5"
        with h5py.File(path, "w") as file:
            file[f"{group}/data"], file[f"{group}/xml"] = np.zeros(3), header(ROWS, COLS)
        assert not is_fastmri(path)
    assert is_fastmri(write_scan(tmp_path / "fastmri.mat"))


def test_a_file_that_another_program_writes_is_named(tmp_path: Path) -> None:
    path = write_scan(tmp_path / "a.h5")
    script = "import h5py, sys; file = h5py.File(sys.argv[1], 'a'); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "open\n"
        with pytest.raises(InputError, match="open for writing in another program"):
            open_scan(path)
        other.communicate()
    open_scan(path)


def test_a_missing_filter_is_named(tmp_path: Path) -> None:
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((1, 48, 40))
    settings.set_filter(32111, h5py.h5z.FLAG_OPTIONAL, ())
    with h5py.File(tmp_path / "a.h5", "w") as file:
        kind, space = h5py.h5t.py_create(np.dtype(np.complex64)), h5py.h5s.create_simple((2, 48, 40))
        stored = h5py.h5d.create(file.id, b"kspace", kind, space, settings)
        stored.write_direct_chunk((0, 0, 0), b"packed")
    with pytest.raises(InputError, match=r"filter that is not installed.*number 32111"):
        open_scan(tmp_path / "a.h5")


def test_a_file_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_scan(tmp_path / "a.h5")
    path.chmod(0)
    if os.access(path, os.R_OK):  # as root

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(InputError, match="no permission to read it"):
        open_scan(path)
