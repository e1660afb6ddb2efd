"""Our reader of DICOM next to dcm2niix: where voxels lie and what they hold, as Markdown, a line a series.

Usage: python scripts/dicom_geometry.py FOLDER [FOLDER ...] [--voxels 2000]

dcm2niix has to be installed. Voxels are drawn from its volume of each series, its echoes one behind the other, and looked up in
ours by their place in the world: mm is the largest distance to the nearest of ours, value the largest difference, of the
volume's maximum; seconds are time steps. A series that one of the two does not read has a line that says so instead.
"""

import argparse
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel
import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.dicom.dicom_series import find_images, open_files, text_of
from mri_d3gm.io.dicom.read_dicom import read_dicom
from mri_d3gm.io.image import Image
from mri_d3gm.metrics.table import Row, to_markdown


def converted(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """Array (i, j, k, t), affine and time step that dcm2niix makes of each series, by its UID."""
    with TemporaryDirectory() as made:
        subprocess.run(
            ["dcm2niix", "-z", "n", "-b", "n", "-f", "%j-", "-o", made, str(folder)], check=False, stdout=subprocess.DEVNULL
        )
        images: dict[str, list] = {}
        for path in sorted(Path(made).glob("*.nii")):
            images.setdefault(path.name.split("-")[0], []).append(nibabel.load(path))
        found = {}
        for uid, several in images.items():
            arrays = [image.get_fdata(dtype=np.float32) for image in several]
            arrays = [array if array.ndim == 4 else array[..., None] for array in arrays]
            if all(array.shape[:3] == arrays[0].shape[:3] for array in arrays):
                found[uid] = np.concatenate(arrays, 3), several[0].affine, float(several[0].header["pixdim"][4])
    return found


def compared(ours: Image, theirs: np.ndarray, affine: np.ndarray, count: int) -> Row:
    """Largest distance in mm and difference in value, of the maximum, at voxels drawn from dcm2niix's array (i, j, k, t)."""
    array = ours.array if ours.array.ndim == 4 else ours.array[..., None]
    if sorted(array.shape[:3]) != sorted(theirs.shape[:3]) or array.shape[3] != theirs.shape[3]:
        return {"line": f"shapes differ: {array.shape}, dcm2niix {theirs.shape}"}
    drawn = np.random.default_rng(0).integers(theirs.shape, size=(count, 4))
    world = drawn[:, :3] @ affine[:3, :3].T + affine[:3, 3]
    inverse = np.linalg.inv(ours.affine)
    places = np.rint(world @ inverse[:3, :3].T + inverse[:3, 3]).astype(int).clip(0, np.array(array.shape[:3]) - 1)
    distance = np.linalg.norm(places @ ours.affine[:3, :3].T + ours.affine[:3, 3] - world, axis=1).max()
    difference = abs(array[(*places.T, drawn[:, 3])] - theirs[tuple(drawn.T)]).max() / abs(theirs).max()
    return {"voxels": count, "mm": f"{distance:.5f}", "value": f"{difference:.1e}"}


def rows(folder: Path, count: int) -> list[Row]:
    """A row a series."""
    theirs = converted(folder)
    with open_files(folder) as files:
        series = {text_of(source.header, "SeriesInstanceUID"): source.header for source in find_images(folder, files)}
    found = []
    for uid, header in series.items():
        row: Row = {"folder": folder.name, "series": text_of(header, "SeriesNumber")}
        try:
            ours = read_dicom(folder, uid)
        except InputError as error:
            found.append(row | {"line": f"{error}" + (" (dcm2niix makes nothing of it either)" if uid not in theirs else "")})
            continue
        row |= {"shape": " x ".join(map(str, ours.array.shape))}
        if uid not in theirs:
            found.append(row | {"line": "dcm2niix makes no volume of one grid of it"})
            continue
        array, affine, step = theirs[uid]
        row |= compared(ours, array, affine, count)
        found.append(row | ({"seconds": ours.time_step, "dcm2niix": round(step, 6)} if ours.array.ndim == 4 else {}))
    return found


def main() -> None:
    """The table of all folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--voxels", type=int, default=2000)
    arguments = parser.parse_args()
    print(to_markdown([row for folder in arguments.folders for row in rows(folder, arguments.voxels)]))


if __name__ == "__main__":
    main()
