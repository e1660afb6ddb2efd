"""K-space in every format of scans. A format is one line of WRITERS."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import scipy.io
from raw_files import Protocol, shots_of, write_ismrmrd_shots
from raw_twix import write_twix_shots
from scans import header, write_scan
from twix_files import oversampled

from mri_d3gm.io.scan import fft1c

Writer = Callable[[Path, np.ndarray], Path]  # of k-space (frames, slices, coils, rows, cols), zero where not measured


def write_cfl(folder: Path, kspace: np.ndarray) -> Path:
    sizes = dict(enumerate([1] * 16)) | dict(zip((10, 13, 3, 0, 1), kspace.shape, strict=True))
    (folder / "scan.hdr").write_text("# Dimensions\n" + " ".join(map(str, sizes.values())) + "\n# Creator\nBART v0.9.00\n")
    (folder / "scan.cfl").write_bytes(kspace.transpose(3, 4, 2, 0, 1).astype("<c8").tobytes("F"))
    return folder / "scan.cfl"


def matlab_order(kspace: np.ndarray) -> np.ndarray:
    return kspace.transpose(3, 4, 2, 1, 0)


def write_v5(folder: Path, kspace: np.ndarray, *, compressed: bool = False) -> Path:
    scipy.io.savemat(folder / "scan.mat", {"note": "made", "kspace": matlab_order(kspace)}, do_compression=compressed)
    return folder / "scan.mat"


def write_v73(folder: Path, kspace: np.ndarray, name: str = "kspace") -> Path:
    """As MATLAB does: a text in front, axes reversed, records of real and imaginary part."""
    with h5py.File(folder / "scan.mat", "w", userblock_size=512) as file:
        records = np.empty(matlab_order(kspace).T.shape, [("real", "<f4"), ("imag", "<f4")])
        records["real"], records["imag"] = matlab_order(kspace).T.real, matlab_order(kspace).T.imag
        file.create_dataset(name, data=records, compression=4).attrs["MATLAB_class"] = np.bytes_("single")
    with (folder / "scan.mat").open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return folder / "scan.mat"


def write_npy(folder: Path, kspace: np.ndarray, *, pairs: bool = False) -> Path:
    np.save(folder / "scan.npy", np.stack([kspace.real, kspace.imag], -1) if pairs else kspace)
    return folder / "scan.npy"


def write_npz(folder: Path, kspace: np.ndarray, *, compressed: bool = False) -> Path:
    (np.savez_compressed if compressed else np.savez)(folder / "scan.npz", kspace=kspace, about=np.array("made"))
    return folder / "scan.npz"


def write_fastmri(folder: Path, kspace: np.ndarray) -> Path:
    """fastMRI has no frames: they are slices."""
    return write_scan(folder / "scan.h5", kspace.reshape(-1, *kspace.shape[2:]), header(*kspace.shape[3:]))


def write_h5(folder: Path, kspace: np.ndarray) -> Path:
    with h5py.File(folder / "scan.h5", "w") as file:
        file["scan/kdata"], file["scan/csm"] = kspace, np.ones(5)
    return folder / "scan.h5"


def write_raw(folder: Path, kspace: np.ndarray, *, twix: bool = False, solid: bool = False, **form: bool) -> Path:
    """As a scanner measures it: slices with twice the rows, or a slab whose readouts, four times as long, run along slices."""
    frames, slices, coils, rows, cols = kspace.shape
    made = Protocol(matrix=(rows, cols, 1), oversampling=2, slices=4.0 * np.arange(slices))
    if solid:
        made = Protocol(matrix=(slices, rows, cols), oversampling=4)
        along = kspace.swapaxes(1, 2).reshape(frames, coils, slices, rows * cols)
        data = oversampled(fft1c(along, -2), 4).reshape(frames, 1, coils, 4 * slices, rows, cols)
    else:
        data = oversampled(kspace)[..., None]
    if twix:
        return write_twix_shots(folder / "scan.dat", shots_of(data, made), made, **form)
    return write_ismrmrd_shots(folder / "scan.h5", shots_of(data, made), made)


WRITERS: dict[str, Writer] = {
    "BART": write_cfl,
    "MATLAB v5": write_v5,
    "MATLAB v7": lambda folder, kspace: write_v5(folder, kspace, compressed=True),
    "MATLAB v7.3": write_v73,
    "NumPy npy": write_npy,
    "NumPy pairs": lambda folder, kspace: write_npy(folder, kspace, pairs=True),
    "NumPy npz": write_npz,
    "NumPy packed": lambda folder, kspace: write_npz(folder, kspace, compressed=True),
    "fastMRI": write_fastmri,
    "HDF5": write_h5,
    "CMRxRecon": lambda folder, kspace: write_v73(folder, kspace, "kspace_sub04"),
    "ISMRMRD": write_raw,
    "ISMRMRD slab": partial(write_raw, solid=True),
    "twix": partial(write_raw, twix=True),
    "twix VB": partial(write_raw, twix=True, vb=True),
    "twix slab": partial(write_raw, twix=True, solid=True),
}
WHOLE_COLUMNS = ("ISMRMRD", "twix", "twix VB")  # what a readout measures is one: points are what a slab has
