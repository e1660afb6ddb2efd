"""A tiny valid file of every format that the package reads, what opens it, and edits that only this format knows.

A format is one line of FORMATS: a function that writes it into an empty folder and returns its path, a function that opens a
path and reads all that is in it, and edits, functions (content of that path, Random) to other content. The bytes of all files
of the folder are damaged besides.
"""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import dicom_files
import h5py
import imagecodecs
import nibabel
import nrrd
import numpy as np
import scans
import scipy.io
import tifffile
import twix_files
from hostile import edits
from hostile.edits_hdf5 import hdf5
from hostile.flips import damaged
from photographs import photograph
from pydicom import uid
from pydicom.encaps import encapsulate

from mri_d3gm.io.coil_maps import coil_maps_of
from mri_d3gm.io.images.pictures import read_picture
from mri_d3gm.io.open_image import open_image
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.scan import read_reference

MOST_SLICES = 8


class Format(NamedTuple):
    """How a format is written, opened and edited."""

    write: Callable[[Path], Path]
    open: Callable[[Path], None]
    own_edits: tuple[edits.Edit, ...] = ()


# opening


def scan(path: Path) -> None:
    """Open k-space and read its first slices, and what the file holds as reference."""
    found = open_scan(path)
    for index in range(min(found.slices, MOST_SLICES)):
        kspace = found.read(index)
        assert kspace.shape == (found.coils, found.rows, found.cols) and kspace.dtype == np.complex64
        assert np.isfinite(kspace).all()
        reference = read_reference(found, index)
        assert reference is None or reference.shape == found.recon_shape
    assert np.isfinite(found.affine).all() and min(found.voxel_mm) > 0


def maps(path: Path) -> None:
    """Open coil maps for the scan next to them."""
    found = coil_maps_of(open_scan(path.parent / "scan" / "a.h5"), path, 1)
    assert found is not None and np.isfinite(found).all()


def image(path: Path) -> None:
    """Open a volume."""
    found = open_image(path)
    assert found.array.dtype == np.float32 and np.isfinite(found.array).all() and np.isfinite(found.affine).all()


def picture(path: Path) -> None:
    """Open a photograph."""
    found = read_picture(path)
    assert found.array.dtype == np.float32 and found.array.min() >= 0 and found.array.max() <= 1


def weights(path: Path) -> None:
    """Open weights."""
    from mri_d3gm.networks.weights import load_weights

    load_weights(path)


# writing

KSPACE = scans.fft2c(np.stack([scans.phantom(2, 16, 16) * np.exp(1j * angle) for angle in (0.1, 1)], 1))
VOXELS = np.random.default_rng(0).integers(1, 200, (6, 7, 5)).astype(np.int16)


VECTORS = ("position", "read_dir", "phase_dir", "slice_dir", "patient_table_position")
STEPS = [
    "kspace_encode_step_1", "kspace_encode_step_2", "average", "slice", "contrast", "phase", "repetition", "set", "segment",
]  # fmt: skip
ACQUISITION = np.dtype([
    ("version", "<u2"), ("flags", "<u8"), ("measurement_uid", "<u4"), ("scan_counter", "<u4"),
    ("acquisition_time_stamp", "<u4"), ("physiology_time_stamp", "<u4", (3,)),
    ("number_of_samples", "<u2"), ("available_channels", "<u2"), ("active_channels", "<u2"), ("channel_mask", "<u8", (16,)),
    ("discard_pre", "<u2"), ("discard_post", "<u2"), ("center_sample", "<u2"), ("encoding_space_ref", "<u2"),
    ("trajectory_dimensions", "<u2"), ("sample_time_us", "<f4"), *((name, "<f4", (3,)) for name in VECTORS),
    ("idx", [*((name, "<u2") for name in STEPS), ("user", "<u2", (8,))]),
    ("user_int", "<i4", (8,)), ("user_float", "<f4", (8,)),
])  # fmt: skip


def fastmri(folder: Path, **options: Any) -> Path:
    """Two slices, two coils, with a mask and a reconstruction; options: of kspace."""
    path, mask = folder / "a.h5", np.arange(16) % 2 == 0
    with h5py.File(path, "w") as file:
        file.create_dataset("kspace", data=KSPACE * mask, **options)
        file["mask"] = mask.astype(np.float32)
        file["ismrmrd_header"] = scans.header(16, 16)
        file["reconstruction_rss"] = scans.phantom(2, 16, 16).astype(np.float32)
        file.attrs["acquisition"], file.attrs["max"] = "AXT2", 3.0
    return path


def ismrmrd_file(folder: Path) -> Path:
    """Two slices, two coils, every second line."""
    path, heads = folder / "a.mrd", []
    kind = [("head", ACQUISITION), ("traj", h5py.vlen_dtype("<f4")), ("data", h5py.vlen_dtype("<f4"))]
    for number in range(2):
        for line in range(0, 16, 2):
            head = np.zeros((), ACQUISITION)
            head["version"], head["number_of_samples"], head["active_channels"], head["center_sample"] = 1, 16, 2, 8
            head["idx"]["kspace_encode_step_1"], head["idx"]["slice"] = line, number
            head["read_dir"], head["phase_dir"], head["slice_dir"] = np.eye(3)
            head["position"], head["sample_time_us"] = (0, 0, 4 * number), 5
            heads.append(
                (head, np.zeros(0, np.float32), np.ascontiguousarray(KSPACE[number, :, :, line]).view(np.float32).ravel())
            )
    with h5py.File(path, "w") as file:
        data = file.create_dataset("dataset/data", (len(heads),), kind, chunks=(1,), maxshape=(None,))
        for index, record in enumerate(heads):
            data[index] = record
        file.create_dataset("dataset/xml", (1,), h5py.string_dtype())[0] = scans.header(16, 16)
    return path


def cfl(folder: Path) -> Path:
    """Header and samples."""
    sizes = [16, 16, 1, 2, *[1] * 9, 2, 1, 1]
    (folder / "a.hdr").write_text("# Dimensions\n" + " ".join(map(str, sizes)) + "\n# Creator\nBART v0.9.00\n")
    (folder / "a.cfl").write_bytes(KSPACE.transpose(2, 3, 1, 0).astype("<c8").tobytes("F"))
    return folder / "a.cfl"


def matlab(folder: Path, packed: bool) -> Path:
    """Version 5."""
    scipy.io.savemat(folder / "a.mat", {"note": "made", "kspace": KSPACE.transpose(2, 3, 1, 0)}, do_compression=packed)
    return folder / "a.mat"


def matlab73(folder: Path) -> Path:
    """HDF5 behind MATLAB's text."""
    records = np.empty(KSPACE.transpose(0, 1, 3, 2).shape, [("real", "<f4"), ("imag", "<f4")])
    records["real"], records["imag"] = KSPACE.transpose(0, 1, 3, 2).real, KSPACE.transpose(0, 1, 3, 2).imag
    with h5py.File(folder / "a.mat", "w", userblock_size=512) as file:
        file.create_dataset("kspace", data=records, compression=4).attrs["MATLAB_class"] = np.bytes_("single")
    with (folder / "a.mat").open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")
    return folder / "a.mat"


def numpy_file(folder: Path, save: Callable[..., None], name: str, **arrays: Any) -> Path:
    """One array, or several in a zip file."""
    save(folder / name, *([] if arrays else [KSPACE]), **arrays)
    return folder / name


def calgary(folder: Path) -> Path:
    """Real and imaginary parts of coils in turn."""
    channels = np.moveaxis(np.stack([KSPACE.real, KSPACE.imag], 2).reshape(2, 4, 16, 16), 1, -1)
    with h5py.File(folder / "a.h5", "w") as file:
        file["kspace"] = np.ascontiguousarray(channels, np.float32)
    return folder / "a.h5"


def named(folder: Path) -> Path:
    """HDF5 of another name."""
    with h5py.File(folder / "a.h5", "w") as file:
        file["group/data"] = KSPACE
        file["group/mask"] = np.ones((16, 16), bool)
    return folder / "a.h5"


def twix(folder: Path, vb: bool) -> Path:
    """Siemens raw data."""
    return twix_files.write_twix(folder / "a.dat", KSPACE, oversampling=1, vb=vb)


def coil_maps(folder: Path) -> Path:
    """One set a slice, next to its scan."""
    (folder / "scan").mkdir()
    fastmri(folder / "scan")
    with h5py.File(folder / "maps.h5", "w") as file:
        file["coil_maps"] = np.exp(1j * np.arange(4).reshape(2, 2, 1, 1)) * np.ones((2, 2, 16, 16), np.complex64)
    return folder / "maps.h5"


def nifti(folder: Path, kind: Any, name: str) -> Path:
    """A small volume."""
    made = kind(VOXELS, np.diag([1.0, 2, 3, 1]))
    made.header["descrip"] = b"a text"
    nibabel.save(made, folder / name)
    return folder / name


def nrrd_file(folder: Path, encoding: str, detached: bool = False) -> Path:
    """A small volume; detached: as a header and its data."""
    header = {"space": "left-posterior-superior", "space directions": np.eye(3), "space origin": [1, 2, 3]}
    path = folder / ("a.nhdr" if detached else "a.nrrd")
    nrrd.write(str(path), VOXELS, header | {"encoding": encoding, "content": "a text"}, detached_header=detached)
    return path


def dicom_series(folder: Path, count: int, syntax: Any = uid.ExplicitVRLittleEndian, encode: Any = None) -> Path:
    """The folder of a classic series, or its one file; encode: of an image (rows, columns) to bytes of a compressed syntax."""
    for number, item in enumerate(dicom_files.slices(data=dicom_files.stack()[:count], SOPInstanceUID="1.2.3.4"), 1):
        if encode is not None:
            pixels = np.frombuffer(item.PixelData, np.uint16).reshape(item.Rows, item.Columns)
            item.PixelData = encapsulate([bytes(encode(pixels))])
            item["PixelData"].VR, item["PixelData"].is_undefined_length = "OB", True
        item.file_meta.TransferSyntaxUID = syntax
        dicom_files.save(item, folder / f"{number}.dcm")
    return folder / "1.dcm" if count == 1 else folder


def dicom_zip(folder: Path) -> Path:
    """A classic series in a .zip."""
    dicom_series(folder / "series", 2)
    name = shutil.make_archive(str(folder / "a"), "zip", folder / "series")
    shutil.rmtree(folder / "series")
    return Path(name)


def weights_file(folder: Path) -> Path:
    """A network of a few parameters."""
    import torch

    from mri_d3gm.networks.denoiser import Denoiser
    from mri_d3gm.networks.weights import save_weights

    torch.manual_seed(0)
    save_weights(folder / "a.safetensors", Denoiser("unet", {"features": 4, "levels": 2}), {"steps": 1})
    return folder / "a.safetensors"


def tiff(folder: Path, dtype: str, **options: Any) -> Path:
    """A small picture."""
    pixels = np.random.default_rng(0).integers(0, 255, (16, 12, 3)).astype(dtype)
    tifffile.imwrite(folder / "a.tif", pixels, photometric="rgb", metadata=None, **options)
    return folder / "a.tif"


def png16(folder: Path) -> Path:
    """A small picture of 16 bits."""
    pixels = np.random.default_rng(0).integers(0, 65535, (16, 12, 3)).astype(np.uint16)
    (folder / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    return folder / "a.png"


J2K, LOSSLESS, LS = uid.JPEG2000Lossless, uid.JPEGLossless, uid.JPEGLSLossless
FORMATS = {
    "fastMRI": Format(fastmri, scan, (hdf5,)),
    "fastMRI, chunks": Format(
        partial(fastmri, chunks=(1, 1, 16, 16), compression="gzip", shuffle=True, fletcher32=True), scan, (hdf5,)
    ),
    "ISMRMRD": Format(ismrmrd_file, scan, (hdf5,)),
    "BART": Format(cfl, scan),
    "MATLAB": Format(partial(matlab, packed=False), scan),
    "MATLAB, compressed": Format(partial(matlab, packed=True), scan, (edits.matlab,)),
    "MATLAB, 7.3": Format(matlab73, scan, (hdf5,)),
    "NumPy": Format(partial(numpy_file, save=np.save, name="a.npy"), scan, (edits.numbers,)),
    "NumPy, several": Format(
        partial(numpy_file, save=np.savez, name="a.npz", kspace=KSPACE, about=np.array("made")),
        scan,
        (edits.zipped(edits.numbers),),
    ),
    "NumPy, compressed": Format(
        partial(numpy_file, save=np.savez_compressed, name="a.npz", kspace=KSPACE),
        scan,
        (edits.zipped(edits.numbers), edits.zipped(damaged)),
    ),
    "Calgary-Campinas": Format(calgary, scan, (hdf5,)),
    "HDF5": Format(named, scan, (hdf5,)),
    "Siemens twix": Format(partial(twix, vb=False), scan, (edits.twix,)),
    "Siemens twix, VB": Format(partial(twix, vb=True), scan, (edits.twix,)),
    "coil maps": Format(coil_maps, maps, (hdf5,)),
    "NIfTI": Format(partial(nifti, kind=nibabel.Nifti1Image, name="a.nii"), image, (edits.nifti,)),
    "NIfTI-2": Format(partial(nifti, kind=nibabel.Nifti2Image, name="a.nii"), image, (edits.nifti,)),
    "NIfTI, gzip": Format(
        partial(nifti, kind=nibabel.Nifti1Image, name="a.nii.gz"),
        image,
        (edits.gzipped(edits.nifti), edits.gzipped(damaged)),
    ),
    "NRRD": Format(partial(nrrd_file, encoding="raw"), image, (edits.lines,)),
    "NRRD, gzip": Format(partial(nrrd_file, encoding="gzip"), image, (edits.lines, edits.nrrd_data)),
    "NRRD, text": Format(partial(nrrd_file, encoding="ascii"), image, (edits.lines,)),
    "NRRD, two files": Format(partial(nrrd_file, encoding="raw", detached=True), image, (edits.lines,)),
    "DICOM": Format(partial(dicom_series, count=1), image, (edits.dicom,)),
    "DICOM, folder": Format(partial(dicom_series, count=3), image),
    "DICOM, enhanced": Format(lambda folder: dicom_files.write_enhanced(folder / "a.dcm"), image, (edits.dicom,)),
    "DICOM, zip": Format(dicom_zip, image),
    "DICOM, deflated": Format(partial(dicom_series, count=1, syntax=uid.DeflatedExplicitVRLittleEndian), image),
    "DICOM, JPEG": Format(
        partial(dicom_series, count=1, syntax=LOSSLESS, encode=partial(imagecodecs.ljpeg_encode, bitspersample=16)),
        image,
        (edits.dicom, edits.jpeg),
    ),
    "DICOM, JPEG-LS": Format(
        partial(dicom_series, count=1, syntax=LS, encode=imagecodecs.jpegls_encode), image, (edits.dicom, edits.jpeg)
    ),
    "DICOM, JPEG 2000": Format(
        partial(dicom_series, count=1, syntax=J2K, encode=partial(imagecodecs.jpeg2k_encode, level=0, codecformat="j2k")),
        image,
        (edits.dicom,),
    ),
    "PNG": Format(lambda folder: photograph(folder / "a.png", (16, 12)), picture, (edits.png,)),
    "PNG, 16 bits": Format(png16, picture, (edits.png,)),
    "JPEG": Format(lambda folder: photograph(folder / "a.jpg", (16, 12)), picture, (edits.jpeg,)),
    "TIFF": Format(partial(tiff, dtype="u1", compression="zlib"), picture),
    "TIFF, 16 bits": Format(partial(tiff, dtype="u2", compression="lzw"), picture),
    "WebP": Format(lambda folder: photograph(folder / "a.webp", (16, 12)), picture),
    "weights": Format(weights_file, weights, (edits.safetensors,)),
}


def mutate(name: str, path: Path, seed: int) -> str:
    """Change a file of a format, or one of those in its folder, in a way that name and seed alone decide; what was changed."""
    random = Random(f"{name} {seed}")
    files = sorted(file for file in (path if path.is_dir() else path.parent).rglob("*") if file.is_file())
    if FORMATS[name].own_edits and random.random() < 0.6:
        file, edit = path, random.choice(FORMATS[name].own_edits)
    else:
        file, edit = random.choice(files), damaged
    file.write_bytes(edit(file.read_bytes(), random))
    return f"{edit.__name__} of {file.name}"
