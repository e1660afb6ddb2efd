"""BART's pairs of files: axes in BART's order, 3-D scans, and headers that contradict the data."""

from pathlib import Path

import numpy as np
import pytest
from io_files import error_of, to_image
from scans import fft2c, phantom

from mri_d3gm.errors import InputError
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.scan import Reading
from mri_d3gm.runs.names import volume_names

KSPACE = np.stack([fft2c(phantom()), 1j * fft2c(phantom())], 1)  # slices, coils, rows, cols


def write(folder: Path, array: np.ndarray, axes: tuple[int, ...], name: str = "scan") -> Path:
    """A pair of files, of an array whose axes are those of BART."""
    sizes, full = [1] * 16, array.transpose(np.argsort(axes))
    for axis, size in zip(sorted(axes), full.shape, strict=True):
        sizes[axis] = size
    (folder / f"{name}.hdr").write_text("# Dimensions\n" + " ".join(map(str, sizes)) + " \n# Command\nphantom -k\n")
    (folder / f"{name}.cfl").write_bytes(full.astype("<c8").tobytes("F"))
    return folder / f"{name}.cfl"


def test_a_pair_is_found_by_either_name(tmp_path: Path) -> None:
    path = write(tmp_path, KSPACE, (13, 3, 0, 1), "scan.of.today")
    for name in (path, path.with_suffix(".hdr")):
        scan = open_scan(name)
        assert (scan.slices, scan.coils, scan.rows, scan.cols, scan.mask) == (2, 2, 48, 40, None)
        assert np.array_equal(scan.read(1), KSPACE[1])
        assert scan.files == (path.with_suffix(".hdr"), path)
        assert volume_names(name, tmp_path, "recon").result.name == "scan.of.today_recon.nii.gz"
    assert open_scan(path, Reading(voxel_mm=(2, 1, 4))).voxel_mm == (2, 1, 4)


@pytest.mark.parametrize(("axis", "name"), [(10, "repetition"), (5, "echo"), (11, "phase"), (15, "batch")])
def test_one_further_axis_is_frames(axis: int, name: str, tmp_path: Path) -> None:
    scan = open_scan(write(tmp_path, np.stack([KSPACE, 2 * KSPACE, 3 * KSPACE]), (axis, 13, 3, 0, 1)))
    assert (scan.frames, scan.frame_axis, scan.slices) == (3, name, 2) and not scan.parts
    assert np.array_equal(scan.read(5), 3 * KSPACE[1])


def test_averages_are_averaged_where_they_were_measured(tmp_path: Path) -> None:
    odd = np.arange(40) % 2 == 1
    scan = open_scan(write(tmp_path, np.stack([KSPACE, 3 * KSPACE * odd]), (14, 13, 3, 0, 1)))
    assert (scan.frames, scan.slices, scan.mask) == (1, 2, None) and not scan.parts
    np.testing.assert_allclose(scan.read(1), KSPACE[1] * (1 + odd), rtol=1e-6)


def test_more_axes_are_parts(tmp_path: Path) -> None:
    series = np.stack([np.stack([KSPACE, 2 * KSPACE]), np.stack([3 * KSPACE, 4 * KSPACE])])
    scan = open_scan(write(tmp_path, series, (5, 10, 13, 3, 0, 1)))
    assert list(scan.parts) == ["echo-1", "echo-2"] and scan.frames == 2
    assert np.array_equal(scan.parts["echo-2"].read(2), 4 * KSPACE[0])


def test_a_volume_becomes_slices_along_its_readout(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    image = generator.normal(size=(2, 3, 24, 20, 18)) + 1j * generator.normal(size=(2, 3, 24, 20, 18))  # frame, coil, x, y, z
    shifted = np.fft.fftn(np.fft.ifftshift(image, axes=(2, 3, 4)), axes=(2, 3, 4), norm="ortho")
    mask = np.stack([generator.random((20, 18)) < 0.5 for _ in range(2)])
    kspace = np.fft.fftshift(shifted, axes=(2, 3, 4)) * mask[:, None, None]
    scan = open_scan(write(tmp_path, kspace, (10, 3, 0, 1, 2)))
    assert (scan.frames, scan.slices, scan.coils, scan.rows, scan.cols) == (2, 24, 3, 20, 18)
    for frame in range(2):
        inverse = np.fft.ifft(np.fft.ifftshift(kspace[frame], axes=1), axis=1, norm="ortho")
        for number in (0, 11, 23):
            sampled = scan.read(24 * frame + number)
            np.testing.assert_allclose(sampled, np.fft.fftshift(inverse, axes=1)[:, number], atol=1e-6)
            np.testing.assert_array_equal(scan.masks(24 * frame + number), mask[frame])
    whole = open_scan(write(tmp_path, np.fft.fftshift(shifted, axes=(2, 3, 4)), (10, 3, 0, 1, 2)))
    np.testing.assert_allclose(to_image(whole.read(24 + 5)), image[1, :, 5], atol=1e-5)


def test_a_readout_with_gaps_is_refused(tmp_path: Path) -> None:
    points = np.random.default_rng(0).random((24, 20, 18)) < 0.5
    text = error_of(open_scan, write(tmp_path, points.astype(complex), (0, 1, 2)))
    assert "readout has gaps" in text


WRONG = {
    "positive lengths below # Dimensions": [
        "",
        "# Dimensions",
        "# Dimensions\n",
        "# Dimensions\n48 x 2",
        "# Dimensions\n48 -40 2",
    ],
    "but scan.hdr says": ["# Dimensions\n48 40 1 3", "# Dimensions\n1000000 1000000 1", "# Dimensions\n48 40"],
}


@pytest.mark.parametrize(("message", "text"), [(message, text) for message, texts in WRONG.items() for text in texts])
def test_headers_that_contradict_the_data_are_one_line(message: str, text: str, tmp_path: Path) -> None:
    path = write(tmp_path, KSPACE, (13, 3, 0, 1))
    path.with_suffix(".hdr").write_text(text)
    assert message in error_of_pair(path)


def error_of_pair(path: Path) -> str:
    """The one line, which names one of the two files."""
    with pytest.raises(InputError) as error:
        open_scan(path)
    text = str(error.value)
    assert str(path.with_suffix("")) in text and "\n" not in text
    return text


def test_what_is_missing_or_no_kspace_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, KSPACE, (13, 3, 0, 1))
    assert "leave it out" in error_of(open_scan, path, Reading(axes="rows,cols"))
    path.with_suffix(".hdr").unlink()
    assert "scan.hdr and scan.cfl belong together" in error_of_pair(path)
    path = write(tmp_path, KSPACE, (13, 3, 1, 2), "radial")
    assert "non-Cartesian" in error_of(open_scan, path)
    path = write(tmp_path, 0 * KSPACE, (13, 3, 0, 1), "empty")
    assert "all of k-space is zero" in error_of(open_scan, path)
    path = write(tmp_path, KSPACE[..., :4], (13, 3, 0, 1), "small")
    assert "8 x 8" in error_of(open_scan, path)
    path = write(tmp_path, np.where(np.arange(40) == 3, np.nan, KSPACE), (13, 3, 0, 1), "nan")
    scan = open_scan(path)
    with pytest.raises(InputError, match="kspace of slice 1 holds NaN"):
        scan.read(1)
