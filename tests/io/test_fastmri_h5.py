import h5py
import numpy as np
import pytest
from scans import fft2c, header, phantom, write_scan

from mri_d3gm.errors import InputError
from mri_d3gm.io.arrays.hdf5 import dataset, opened, text_attribute, values
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.scan import Reading, cropped, read_reference


def image_of(kspace: np.ndarray) -> np.ndarray:
    shifted = np.fft.ifft2(np.fft.ifftshift(kspace, axes=(-2, -1)), norm="ortho")
    return np.fft.fftshift(shifted, axes=(-2, -1))


def test_single_and_multi_coil_have_the_same_layout(tmp_path) -> None:
    single = open_scan(write_scan(tmp_path / "a.h5"))
    many = open_scan(write_scan(tmp_path / "b.h5", np.stack([fft2c(phantom())] * 3, 1)))
    assert (single.slices, single.coils, single.rows, single.cols) == (2, 1, 48, 40)
    assert many.coils == 3
    assert single.read(1).shape == (1, 48, 40)
    assert many.read(1).shape == (3, 48, 40)
    assert single.voxel_mm == pytest.approx((2, 1.5, 4))
    assert single.mask is None and single.limits is None


def test_readout_oversampling_is_removed_and_can_be_kept(tmp_path) -> None:
    padded = np.pad(phantom(), ((0, 0), (24, 24), (0, 0)))
    path = write_scan(tmp_path / "a.h5", fft2c(padded), header(96, 40, oversampling=2))
    scan = open_scan(path)
    assert scan.oversampled and scan.rows == 48 and scan.voxel_mm == pytest.approx((2, 1.5, 4))
    np.testing.assert_allclose(image_of(scan.read(0))[0].real, phantom()[0], atol=1e-5)
    kept = open_scan(path, Reading(crop=False))
    assert not kept.oversampled and kept.read(0).shape == (1, 96, 40)
    assert cropped(padded[0], kept).shape == (96, 40)


def test_reference_is_the_files_own_or_the_rss_of_its_kspace(tmp_path) -> None:
    own = np.random.default_rng(0).random((2, 48, 40)).astype(np.float32)
    scan = open_scan(write_scan(tmp_path / "a.h5", reconstruction_esc=own))
    assert np.array_equal(read_reference(scan, 1), own[1])
    two = np.stack([fft2c(phantom()) * 0.6, fft2c(phantom()) * 0.8j], 1)
    np.testing.assert_allclose(read_reference(open_scan(write_scan(tmp_path / "b.h5", two)), 0), phantom()[0], atol=1e-4)


def test_a_mask_makes_the_file_undersampled(tmp_path) -> None:
    mask = np.arange(40) % 4 == 0
    scan = open_scan(write_scan(tmp_path / "a.h5", fft2c(phantom()) * mask, mask=mask.astype(np.float32)))
    assert np.array_equal(scan.mask, mask[None])
    assert read_reference(scan, 0) is None


def test_zero_lines_without_a_mask_mean_undersampled(tmp_path) -> None:
    mask = (np.arange(40) % 4 == 0) | (abs(np.arange(40) - 20) < 3)
    assert np.array_equal(open_scan(write_scan(tmp_path / "a.h5", fft2c(phantom()) * mask)).mask, mask[None] & mask)
    plane = np.random.default_rng(0).random((48, 40)) < 0.4
    assert np.array_equal(open_scan(write_scan(tmp_path / "b.h5", fft2c(phantom()) * plane)).mask, plane)


@pytest.mark.parametrize("kept", [None, 1, 2])
def test_slices_may_have_masks_of_their_own(kept: int | None, tmp_path) -> None:
    """From the zeros of each, or in a dataset of (slices, cols) or (slices, rows, cols)."""
    lines = np.stack([np.arange(40) % 3 == 0, np.arange(40) % 3 == 1]) | (abs(np.arange(40) - 20) < 3)
    given = {} if kept is None else {"mask": lines if kept == 1 else np.repeat(lines[:, None], 48, 1)}
    scan = open_scan(write_scan(tmp_path / "a.h5", fft2c(phantom()) * lines[:, None], **given))
    assert np.array_equal(scan.mask, lines.any(0)[None])
    assert all(np.array_equal(scan.masks(number), lines[number][None]) for number in range(2))


def test_the_voxel_size_of_a_file_without_header_can_be_given(tmp_path) -> None:
    path = write_scan(tmp_path / "a.h5", xml="<broken")
    scan = open_scan(path, Reading(voxel_mm=(1, 2, 3)))
    assert scan.voxel_mm == (1, 2, 3) and "as --voxel says" in scan.warnings[0]
    assert open_scan(write_scan(path), Reading(voxel_mm=(1, 2, 3))).voxel_mm == pytest.approx((2, 1.5, 4))


def test_empty_columns_at_the_edges_are_limits_and_not_undersampling(tmp_path) -> None:
    inside = (np.arange(40) >= 5) & (np.arange(40) < 38)
    scan = open_scan(write_scan(tmp_path / "a.h5", fft2c(phantom()) * inside))
    assert scan.mask is None and scan.limits == (5, 38)
    named = open_scan(write_scan(tmp_path / "b.h5", fft2c(phantom()) * inside, header(48, 40, last=32, centre=15)))
    assert named.limits == (5, 38)


def test_a_missing_header_is_said(tmp_path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = fft2c(phantom())
    scan = open_scan(tmp_path / "a.h5")
    assert scan.voxel_mm == (1, 1, 1) and "voxel size" in scan.warnings[0]


def test_a_broken_header_is_a_warning_and_not_an_end(tmp_path) -> None:
    scan = open_scan(write_scan(tmp_path / "a.h5", xml="<broken"))
    assert scan.voxel_mm == (1, 1, 1) and scan.warnings


def spoil(kspace: np.ndarray, value: complex) -> np.ndarray:
    kspace = kspace.copy()
    kspace[0, 3, 3] = value
    return kspace


K = fft2c(phantom())
BAD = {
    "no dataset kspace": lambda p: h5py.File(p, "w").close(),
    "kspace has shape .48, 40": lambda p: write_scan(p, K[0]),
    "kspace has shape .1, 1": lambda p: write_scan(p, K[None, None]),
    "float32; complex64": lambda p: write_scan(p, np.abs(K)),
    "pairs of floats; save it complex, or give --key kspace": lambda p: write_scan(
        p, np.stack([K.real, K.imag], -1), header(48, 40)
    ),
    "all zeros": lambda p: write_scan(p, 0 * K),
    "mask has shape": lambda p: write_scan(p, mask=np.ones(39)),
    "measures nothing": lambda p: write_scan(p, mask=np.zeros(40)),
    "not an HDF5 file": lambda p: p.write_text("hello"),
    "is a folder": lambda p: p.mkdir(),
    "at least one slice": lambda p: write_scan(p, K[:0], header(48, 40)),
}


@pytest.mark.parametrize("message", BAD)
def test_what_cannot_be_used_is_refused_in_one_line(message: str, tmp_path) -> None:
    path = tmp_path / "bad.h5"
    BAD[message](path)
    with pytest.raises(InputError, match=message) as caught:
        open_scan(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, complex(0, np.nan)])
def test_non_finite_values_are_refused_when_read(value: complex, tmp_path) -> None:
    scan = open_scan(write_scan(tmp_path / "a.h5", spoil(K, value)))
    scan.read(1)
    with pytest.raises(InputError, match="slice 0 holds NaN or Inf"):
        scan.read(0)


def test_missing_and_truncated_files_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="no such file"):
        open_scan(tmp_path / "none.h5")
    path = write_scan(tmp_path / "a.h5")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match="truncated"):
        open_scan(path)


def test_data_of_another_file_are_refused(tmp_path) -> None:
    write_scan(tmp_path / "outside.h5")
    for name, link in (("kspace", h5py.ExternalLink("outside.h5", "kspace")), ("kspace", h5py.SoftLink("/gone"))):
        path = tmp_path / "link.h5"
        with h5py.File(path, "w") as file:
            file[name] = link
        with pytest.raises(InputError, match="link"):
            open_scan(path)
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file.create_dataset("kspace", (2, 48, 40), np.complex64, external=[(str(tmp_path / "missing.raw"), 0, 2**20)])
    with pytest.raises(InputError, match="another file"):
        open_scan(tmp_path / "raw.h5")
    layout = h5py.VirtualLayout((2, 48, 40), np.complex64)
    layout[:] = h5py.VirtualSource(str(tmp_path / "outside.h5"), "kspace", (2, 48, 40))
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file.create_virtual_dataset("kspace", layout)
    with pytest.raises(InputError, match="another file"):
        open_scan(tmp_path / "virtual.h5")


@pytest.mark.parametrize("options", [{"compression": "gzip", "shuffle": True, "fletcher32": True}, {"compression": "lzf"}, {}])
def test_chunks_are_read_whatever_their_filters_of_the_library(tmp_path, options: dict) -> None:
    path = write_scan(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        del file["kspace"]
        file.create_dataset("kspace", data=K, chunks=(1, 32, 16), **options)
    np.testing.assert_array_equal(open_scan(path).read(1)[0], K[1])


@pytest.mark.parametrize("kind", ["COMPLEX_IEEE_F32LE", "COMPLEX_IEEE_F64LE"])
def test_complex_numbers_of_hdf5_itself_are_read(tmp_path, kind: str) -> None:
    if not hasattr(h5py.h5t, kind):
        pytest.skip("HDF5 1 has none")
    path = write_scan(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        del file["kspace"]
        h5py.h5d.create(file.id, b"kspace", getattr(h5py.h5t, kind), h5py.h5s.create_simple(K.shape))
        file["kspace"][...] = K.astype(file["kspace"].dtype)
    np.testing.assert_allclose(open_scan(path).read(1)[0], K[1], rtol=1e-6)


@pytest.mark.parametrize("coils", [0, 3])
@pytest.mark.parametrize("fields", [("r", "i"), ("imag", "real")])
@pytest.mark.parametrize("kind", ["f2", ">f4", "f8", "i2", "i4"])
def test_records_of_two_numbers_are_complex(tmp_path, kind: str, fields: tuple[str, str], coils: int) -> None:
    kspace = np.round(20 * (np.stack([K] * coils, 1) if coils else K))
    records = np.empty(kspace.shape, [(field, kind) for field in fields])
    for field in fields:
        records[field] = kspace.real if field.startswith("r") else kspace.imag
    found, plain = (open_scan(write_scan(tmp_path / f"{n}.h5", one, header(48, 40))) for n, one in enumerate((records, kspace)))
    assert np.array_equal(found.read(1), plain.read(1)) and found.read(1).dtype == np.complex64
    assert found.voxel_mm == plain.voxel_mm == pytest.approx((2, 1.5, 4)) and found.warnings == plain.warnings


def test_strings_and_sequences_of_any_length_are_read(tmp_path) -> None:
    kind = np.dtype([("head", "u2"), ("data", h5py.vlen_dtype("f4"))])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["text"] = ["a", 1000 * "b"]
        data = file.create_dataset("group/data", (2,), kind, maxshape=(None,), chunks=(1,))
        data[0], data[1] = (1, np.ones(3, np.float32)), (2, np.ones(500, np.float32))
        file.attrs["acquisition"] = "AXT2"
    with opened(tmp_path / "a.h5") as file:
        found, stored = dataset(file, "text"), dataset(file, "group/data")
        assert found is not None and stored is not None and dataset(file, "group/none") is None
        assert values(found)[1] == 1000 * b"b" and len(values(stored, 1)["data"]) == 500
        assert text_attribute(file, "acquisition") == "AXT2" and text_attribute(file, "none") == ""
