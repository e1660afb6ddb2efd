"""Fully sampled files of every subject that `scripts/bound.py` knows: under a smooth phase; under a phase as real scans have;
the latter as 4, 8 or 16 coils would have measured it; real k-space as it is; and slices of noise alone.

Usage: python scripts/bound_cases.py DATA MAKE_CASE FOLDER [--role test,outside]

DATA holds the folders bench, train and natural. MAKE_CASE is a program that makes single-coil k-space of a magnitude volume
or picture: MAKE_CASE IN OUT.h5 --seed N --slices N --axes 01|10 [--crop N]. All seeds follow from file names. --role: of
scripts/bound_subjects.tsv, which subjects. Cases that are there already are left as they are.
"""

import argparse
import csv
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import h5py
import numpy as np

SCRIPTS = Path(__file__).parent
VOLUMES = ("bench/mri/*.nii.gz", "bench/mri_iso/*.nii.gz", "train/mri/openms_long20*.nii.gz")
PICTURES = ("bench/mri_slices/*", "train/mri_slices/knee_09*", "train/mri_slices/chaos_[01]*")
HEARTS, PHOTOGRAPHS = (
    "train/mri/png_sunnybrook/*",
    ("kodak_04", "elementary_water_lily", "lomiri_dragonfly", "umate_webspresso"),
)
INTERPOLATED = ("cheng_", "spider_")  # by the scanner: the inner 256 of k-space are kept


def sources(data: Path) -> Iterator[tuple[str, Path]]:
    """The magnitudes that cases are made of, by the names of their cases."""
    for pattern in VOLUMES:
        yield from ((file.name.removesuffix(".nii.gz"), file) for file in sorted(data.glob(pattern)))
    pictures = [file for pattern in PICTURES for file in sorted(data.glob(pattern))]
    for _, own in groupby(pictures, lambda file: file.name.split("_s")[0]):  # one of each subject
        file = next(own)
        yield file.stem, file
    yield from ((f"heart_{file.stem}", file) for file in sorted(data.glob(HEARTS))[::24])
    for name in PHOTOGRAPHS:
        file = min((data / "natural").glob(f"{name}*"))
        yield f"photo_{file.stem}", file


def program(name: Path | str, *arguments: object) -> None:
    subprocess.run([sys.executable, str(name), *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def make(name: str, magnitudes: Path, make_case: Path, folder: Path) -> None:
    """The three cases of one volume or picture."""
    smooth, rough, coils = (folder / f"{name}_{kind}.h5" for kind in ("smooth", "rough", "coils"))
    seed = zlib.crc32(name.encode()) % 10000
    if coils.exists():
        return
    crop = ("--crop", 256) if name.startswith(INTERPOLATED) else ()
    program(make_case, magnitudes, smooth, "--seed", seed, "--slices", 3, "--axes", ("01", "10")[seed % 2], *crop)
    program(SCRIPTS / "with_real_phase.py", smooth, rough, "--seed", seed)
    program(SCRIPTS / "with_coils.py", rough, coils.with_suffix(".part"), "--seed", seed, "--coils", (4, 8, 16)[seed % 3])
    coils.with_suffix(".part").replace(coils)


def make_noise(target: Path, slices: int = 4, size: int = 256) -> None:
    """Slices of complex white noise."""
    parts = np.random.default_rng(0).normal(size=(2, slices, size, size))
    with h5py.File(target, "w") as file:
        file["kspace"] = (parts[0] + 1j * parts[1]).astype(np.complex64)


def main() -> None:
    """All cases of the chosen subjects."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("make_case", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--role", default="calibrate,test,outside")
    arguments = parser.parse_args()
    with (SCRIPTS / "bound_subjects.tsv").open() as file:
        table = sorted(csv.DictReader(file, delimiter="\t"), key=lambda line: -len(line["prefix"]))

    def wanted(name: str) -> bool:
        role = next((line["role"] for line in table if name.startswith(line["prefix"])), None)
        return role in arguments.role.split(",")

    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, magnitudes in sources(arguments.data):
        if wanted(name):
            make(name, magnitudes, arguments.make_case, arguments.folder)
            print(name, flush=True)
    for file in sorted((arguments.data / "bench" / "kspace").glob("*.h5")):
        with h5py.File(file) as stored:
            undersampled = "mask" in stored
        if wanted(f"real_{file.stem}") and not undersampled:
            shutil.copyfile(file, arguments.folder / f"real_{file.name}")
    if wanted("noise_"):
        make_noise(arguments.folder / "noise_alone.h5")


if __name__ == "__main__":
    main()
