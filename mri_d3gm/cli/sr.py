"""mri-d3gm sr."""

from functools import partial
from typing import Any

from mri_d3gm.cli.many import input_files, once_a_series, result_of_each
from mri_d3gm.cli.options import options_of, over_files
from mri_d3gm.settings import SuperResolve


def sr(inputs: tuple[str, ...], output: str, overwrite: bool, as_json: bool, **options: Any) -> int:
    """Super-resolve the inputs and say what came out; the exit code."""
    settings = SuperResolve.of(options)
    from mri_d3gm.io.open_image import volume_endings
    from mri_d3gm.tasks.sr import names_of, superresolve_file

    files = once_a_series(input_files(inputs, volume_endings(), folders_too=True, option="scale"))
    work = partial(superresolve_file, settings=settings, overwrite=overwrite)
    return result_of_each(files, output, work, names_of, summary, as_json)


def summary(name: str, record: dict[str, Any]) -> str:
    """One line: file, matrix before and after, and what the volume made smaller once more says."""
    before, after = ("x".join(map(str, record[key])) for key in ("MatrixBefore", "Matrix"))
    text, operator = f"{name}  {before} to {after}  {record['Seconds']:.1f} s", record.get("Operator", {})
    error = operator.get("WithheldError")
    return text if error is None or not operator["Weight"] else f"{text}  {withheld(error)}"


def withheld(error: float) -> str:
    """What it says, in words; error: of the network, 1 for no better than interpolation."""
    if error >= 1:
        return "test on itself made smaller: no better than interpolation"
    return f"test on itself made smaller: {100 * (1 - error):.0f} % of what interpolation misses is regained"


COMMAND = over_files(
    sr,
    "VOLUME...",
    options_of(SuperResolve),
    "Low-resolution volume to NIfTI of 2 or 4 times the in-plane matrix, or of isotropic voxels, std map, sidecar and preview. "
    "VOLUME: NIfTI, NRRD or DICOM (a folder, a zip or one file of a series), folders of NIfTI and NRRD, or globs.",
)
