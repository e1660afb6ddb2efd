"""Small files that ask for much, or reach outside of themselves."""

import bz2
import gzip
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import dicom_files
import h5py
import nibabel
import numpy as np
import scipy.io
import tifffile
from hostile import formats
from PIL import Image
from pydicom import uid
from scans import header


class Bomb(NamedTuple):
    """Whose opener it is for (a key of FORMATS), how it is written into a folder, and words of the line that refuses it."""

    format: str
    write: Callable[[Path], Path]
    words: str


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {name} "{10 * f"&{before};"}">' for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


def scan(folder: Path, **datasets: object) -> Path:
    """A scan with other datasets in place of its own."""
    path = formats.fastmri(folder)
    with h5py.File(path, "r+") as file:
        for name, data in datasets.items():
            del file[name]
            file[name] = data
    return path


def huge(folder: Path, shape: tuple[int, ...], chunks: tuple[int, ...] | None, packing: str | None = None) -> Path:
    """K-space of which one chunk at most is stored."""
    path = formats.fastmri(folder)
    with h5py.File(path, "r+") as file:
        del file["kspace"]
        kspace = file.create_dataset("kspace", shape, np.complex64, chunks=chunks, compression=packing)
        if chunks:
            kspace[tuple(slice(0, 8) for _ in shape)] = 1
    return path


def one_chunk(folder: Path, packed: bytes, filters: tuple[int, ...]) -> Path:
    """K-space whose one chunk is stored as `packed`."""
    path = formats.fastmri(folder)
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((2, 16, 16))
    for code in filters:
        properties.set_filter(code, h5py.h5z.FLAG_OPTIONAL, (6,) if code == 1 else ())
    with h5py.File(path, "r+") as file:
        del file["kspace"]
        kind = h5py.h5t.py_create(np.dtype(np.complex64))
        dataset = h5py.h5d.create(file.id, b"kspace", kind, h5py.h5s.create_simple((2, 16, 16)), properties)
        dataset.write_direct_chunk((0, 0, 0), packed)
    return path


def virtual(folder: Path) -> Path:
    """K-space that lies in another file."""
    layout = h5py.VirtualLayout((2, 16, 16), np.complex64)
    layout[:] = h5py.VirtualSource(str(folder / "b.h5"), "kspace", (2, 16, 16))
    path = formats.fastmri(folder)
    with h5py.File(path, "r+") as file:
        del file["kspace"]
        file.create_virtual_dataset("kspace", layout)
    return path


def pipe(folder: Path) -> Path:
    """K-space behind a link to a pipe, at which opening would wait."""
    os.mkfifo(folder / "pipe.h5")
    return scan(folder, kspace=h5py.ExternalLink(str(folder / "pipe.h5"), "kspace"))


def long_text(folder: Path, text: bytes) -> Path:
    """A text of the file whose length is said to be 3 GB."""
    path = formats.fastmri(folder)
    content = path.read_bytes()
    heap = content.find(b"GCOL").to_bytes(8, "little")
    reference = len(text).to_bytes(4, "little") + heap
    assert content.count(reference) == 1
    path.write_bytes(content.replace(reference, (3 << 30).to_bytes(4, "little") + heap))
    return path


def endless_heap(folder: Path) -> Path:
    """A heap of texts whose free space has no size, so that the library walks in place."""
    path = formats.fastmri(folder)
    content = bytearray(path.read_bytes())
    start = content.find(b"GCOL") + 16
    while number := int.from_bytes(content[start : start + 2], "little"):
        assert number < 9
        size = int.from_bytes(content[start + 8 : start + 16], "little")
        start += 16 + -(-size // 8) * 8
    content[start + 8 : start + 16] = bytes(8)
    path.write_bytes(content)
    return path


def volume(
    folder: Path, shape: tuple[int, ...] = (6, 7, 5), packed: bool = False, content: int = 0, offset: float = 352
) -> Path:
    """A NIfTI header that declares `shape` and is followed by `content` zeros."""
    made = nibabel.Nifti1Header()
    made.set_data_dtype(np.uint8)
    made["dim"][: len(shape) + 1] = len(shape), *shape
    made["magic"], made["vox_offset"] = b"n+1", offset
    path = folder / "a.nii"
    with (gzip.open if packed else open)(path, "wb") as file:
        file.write(bytes(made.binaryblock) + bytes(4))
        file.write(bytes(content))
    return path


def nrrd_bomb(folder: Path, encoding: str) -> Path:
    """80 MB of zeros."""
    lines = "NRRD0004", "type: uchar", "dimension: 3", "sizes: 1024 1024 80", f"encoding: {encoding}", "", ""
    packed = gzip.compress(bytes(80 << 20), 9) if encoding == "gzip" else bz2.compress(bytes(80 << 20))
    (folder / "a.nrrd").write_bytes("\n".join(lines).encode() + packed)
    return folder / "a.nrrd"


def dicom(folder: Path, syntax: str = uid.ExplicitVRLittleEndian, **values: object) -> Path:
    """A DICOM image whose header says other things than its pixels."""
    item = dicom_files.slices(**values)[0]
    item.file_meta.TransferSyntaxUID = syntax
    return dicom_files.save(item, folder / "1.dcm")


def jpeg_dicom(folder: Path, name: str) -> Path:
    """A compressed DICOM image whose codestream says that it is 65535 x 65535."""
    path = formats.FORMATS[name].write(folder)
    content = bytearray(path.read_bytes())
    place = content.find(b"\xff\x4f\xff\x51")
    if place >= 0:
        struct.pack_into(">II", content, place + 8, 65535, 65535)
    else:
        place = max(content.find(b"\xff\xc3\0"), content.find(b"\xff\xf7\0"))
        struct.pack_into(">HH", content, place + 5, 65535, 65535)
    path.write_bytes(content)
    return path


def deflated(folder: Path) -> Path:
    """A data set that unpacks to 80 MB of zeros."""
    path = dicom(folder, uid.DeflatedExplicitVRLittleEndian)
    content = path.read_bytes()
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = 144 + int.from_bytes(content[140:144], "little")
    path.write_bytes(content[:start] + packer.compress(bytes(80 << 20)) + packer.flush())
    return path


def zip_bomb(folder: Path) -> Path:
    """80 MB of zeros behind a DICOM file."""
    series = formats.dicom_series(folder, 1)
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(series, "1.dcm")
        archive.writestr("2.dcm", bytes(80 << 20))
    series.unlink()
    return folder / "a.zip"


def flat(folder: Path, name: str, **options: object) -> Path:
    """A picture of 25 million white pixels."""
    Image.new("L", (5000, 5000), 255).save(folder / name, **options)
    return folder / name


def wide_jpeg(folder: Path) -> Path:
    """A small JPEG stream that says it is 14000 x 14000."""
    path = formats.FORMATS["JPEG"].write(folder)
    content = bytearray(path.read_bytes())
    struct.pack_into(">HH", content, content.find(b"\xff\xc0") + 5, 14000, 14000)
    path.write_bytes(content)
    return path


def circle(folder: Path) -> Path:
    """A TIFF file whose one page is its own next."""
    path = folder / "a.tif"
    tifffile.imwrite(path, np.zeros((16, 16, 3), np.uint8), photometric="rgb", metadata=None)
    content = bytearray(path.read_bytes())
    count = int.from_bytes(content[8:10], "little")
    struct.pack_into("<I", content, 10 + 12 * count, 8)
    path.write_bytes(content)
    return path


def wide_weights(folder: Path) -> Path:
    """Weights of a few numbers for a network of many."""
    path = formats.weights_file(folder)
    path.write_bytes(path.read_bytes().replace(rb"\"features\": 4", rb"\"features\": 4000").replace(b" " * 3, b"", 1))
    return path


class Trap:
    """What makes a file where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, ("trapped", "w")


def pickled(folder: Path, save: Callable[..., None], name: str) -> Path:
    """An array of objects."""
    objects = np.full((2, 16, 16), None)
    objects[0, 0, 0] = Trap()
    save(folder / name, objects)
    return folder / name


def wide_array(folder: Path) -> Path:
    """An array that declares a million million numbers."""
    path = formats.FORMATS["NumPy"].write(folder)
    content = path.read_bytes()
    wide = content[:128].replace(b"(2, 2, 16, 16), }       ", b"(2, 2, 1000000, 250000), }")
    path.write_bytes(
        content[:8] + (int.from_bytes(content[8:10], "little") + len(wide) - 128).to_bytes(2, "little") + wide[10:]
    )
    return path


def wide_npz(folder: Path) -> Path:
    """An array of 80 MB of zeros, packed."""
    np.savez_compressed(folder / "a.npz", kspace=np.zeros((10, 1000, 1000), np.complex64))
    return folder / "a.npz"


def wide_matlab(folder: Path) -> Path:
    """The same of MATLAB."""
    scipy.io.savemat(folder / "a.mat", {"kspace": np.zeros((1000, 1000, 10), np.complex64)}, do_compression=True)
    return folder / "a.mat"


def wide_cfl(folder: Path) -> Path:
    """A header that declares a million million numbers."""
    path = formats.cfl(folder)
    path.with_suffix(".hdr").write_text("# Dimensions\n1000000 1000000 1 2\n")
    return path


def raw_entity(folder: Path) -> Path:
    """A billion laughs in ISMRMRD."""
    path = formats.ismrmrd_file(folder)
    with h5py.File(path, "r+") as file:
        file["dataset/xml"][0] = f"{LAUGHS}]><x>&j;</x>"
    return path


def long_samples(folder: Path) -> Path:
    """A readout of ISMRMRD whose samples are said to be 3 GB."""
    path = formats.ismrmrd_file(folder)
    content = path.read_bytes()
    reference = (64).to_bytes(4, "little") + content.find(b"GCOL").to_bytes(8, "little")
    assert reference in content
    path.write_bytes(content.replace(reference, (3 << 28).to_bytes(4, "little") + reference[4:], 1))
    return path


DEFLATE, UNKNOWN, CHUNK = 1, 32001, (1, 1, 16, 16)
ENTITY = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'
GZIP_ZEROS, ZEROS = zlib.compress(bytes(80 << 20), 9), bytes(4096)
BOMBS = {
    "a billion laughs": Bomb("fastMRI", partial(scan, ismrmrd_header=f"{LAUGHS}]><x>&j;</x>"), "DOCTYPE"),
    "an entity of a file": Bomb("fastMRI", partial(scan, ismrmrd_header=ENTITY), "DOCTYPE"),
    "many slices": Bomb("fastMRI", partial(huge, shape=(10**9, 2, 16, 16), chunks=CHUNK), "declares"),
    "wide slices": Bomb("fastMRI", partial(huge, shape=(1, 1, 10**6, 10**6), chunks=CHUNK), "declares"),
    "wide slices in one piece": Bomb("fastMRI", partial(huge, shape=(1, 1, 10**6, 10**6), chunks=None), "declares"),
    "small chunks": Bomb("fastMRI", partial(huge, shape=(1, 1, 1000, 1000), chunks=(1, 1, 1, 1)), "declares"),
    "packed zeros": Bomb(
        "fastMRI", partial(huge, shape=(1, 1, 4096, 4096), chunks=(1, 1, 4096, 4096), packing="gzip"), "declares"
    ),
    "a chunk with more in it": Bomb("fastMRI", partial(one_chunk, packed=GZIP_ZEROS, filters=(DEFLATE,)), "more than its size"),
    "packed twice": Bomb("fastMRI", partial(one_chunk, packed=GZIP_ZEROS, filters=(DEFLATE, DEFLATE)), "more than once"),
    "an unknown filter": Bomb(
        "fastMRI", partial(one_chunk, packed=ZEROS, filters=(UNKNOWN,)), "a filter that is not installed"
    ),
    "a virtual dataset": Bomb("fastMRI", virtual, "another file"),
    "a link to nothing": Bomb("fastMRI", partial(scan, kspace=h5py.SoftLink("/gone")), "link"),
    "a link to itself": Bomb("fastMRI", partial(scan, kspace=h5py.SoftLink("/kspace")), "link"),
    "a link to a pipe": Bomb("fastMRI", pipe, "link"),
    "a long header": Bomb("fastMRI", partial(long_text, text=header(16, 16).encode()), "damaged"),
    "a long attribute": Bomb("fastMRI", partial(long_text, text=b"AXT2"), "damaged"),
    "a heap without end": Bomb("fastMRI", endless_heap, "damaged"),
    "a billion laughs in ISMRMRD": Bomb("ISMRMRD", raw_entity, "DOCTYPE"),
    "long samples in ISMRMRD": Bomb("ISMRMRD", long_samples, "damaged"),
    "a pickled array": Bomb("NumPy", partial(pickled, save=np.save, name="a.npy"), "object"),
    "pickled arrays": Bomb("NumPy, several", partial(pickled, save=np.savez, name="a.npz"), "no arrays of numbers"),
    "a wide array": Bomb("NumPy", wide_array, "longer than the file"),
    "packed zeros in NumPy": Bomb("NumPy, compressed", wide_npz, "declares"),
    "packed zeros in MATLAB": Bomb("MATLAB, compressed", wide_matlab, "declares"),
    "a wide header of BART": Bomb("BART", wide_cfl, "says"),
    "a wide volume": Bomb("NIfTI", partial(volume, shape=(32767,) * 4), "truncated"),
    "a volume far away": Bomb("NIfTI", partial(volume, offset=1e18), "truncated"),
    "a wide packed volume": Bomb("NIfTI", partial(volume, shape=(32767,) * 4, packed=True), "declares"),
    "packed zeros in NIfTI": Bomb("NIfTI", partial(volume, shape=(1024, 1024, 80), packed=True, content=80 << 20), "declares"),
    "zeros behind a volume": Bomb("NIfTI", partial(volume, packed=True, content=80 << 20), "declares"),
    "gzip zeros in NRRD": Bomb("NRRD", partial(nrrd_bomb, encoding="gzip"), "declares"),
    "bzip2 zeros in NRRD": Bomb("NRRD", partial(nrrd_bomb, encoding="bzip2"), "declares"),
    "a wide image": Bomb("DICOM", partial(dicom, Rows=65535, Columns=65535), "declares"),
    "many frames": Bomb("DICOM", partial(dicom, NumberOfFrames=2**31 - 1), "2147483647"),
    "a deflated data set": Bomb("DICOM", deflated, "declares"),
    "a zip file": Bomb("DICOM", zip_bomb, "declares"),
    "a wide JPEG in DICOM": Bomb("DICOM", partial(jpeg_dicom, name="DICOM, JPEG"), "not of the size"),
    "a wide JPEG-LS in DICOM": Bomb("DICOM", partial(jpeg_dicom, name="DICOM, JPEG-LS"), "not of the size"),
    "a wide JPEG 2000 in DICOM": Bomb("DICOM", partial(jpeg_dicom, name="DICOM, JPEG 2000"), "not of the size"),
    "a white PNG": Bomb("PNG", partial(flat, name="a.png"), "declares"),
    "a white WebP": Bomb("WebP", partial(flat, name="a.webp", lossless=True), "declares"),
    "a white TIFF": Bomb("TIFF", partial(flat, name="a.tif", compression="tiff_adobe_deflate"), "declares"),
    "a wide JPEG": Bomb("JPEG", wide_jpeg, "declares"),
    "a circle of pages": Bomb("TIFF", circle, "pages"),
    "a network too wide": Bomb("weights", wide_weights, "do not fit"),
}
