"""mri-d3gm recon."""

from functools import partial
from typing import Any

from mri_d3gm.cli.many import input_files, result_of_each
from mri_d3gm.cli.options import options_of, over_files
from mri_d3gm.settings import Recon


def recon(inputs: tuple[str, ...], output: str, overwrite: bool, as_json: bool, **options: Any) -> int:
    """Reconstruct the inputs and say what came out; the exit code."""
    settings = Recon.of(options)
    from mri_d3gm.io.open_scan import scan_endings

    files = input_files(inputs, scan_endings())
    from mri_d3gm.tasks.recon import names_of, reconstruct_file

    work = partial(reconstruct_file, settings=settings, overwrite=overwrite)
    return result_of_each(files, output, work, names_of, summary, as_json)


def summary(name: str, record: dict[str, Any]) -> str:
    """One line: file, R, and the gain over zero-filled where it is known."""
    size = f"{record['Slices']} slice{'s' * (record['Slices'] > 1)}, {record['Coils']} coil{'s' * (record['Coils'] > 1)}"
    text = f"{name}  {size}  R={record['Sampling']['AccelerationAchieved']:g}  {record['Seconds']:.1f} s"
    if "Metrics" in record:
        text += f"  {gained(record)}"
    if record["Trust"]["WithheldError"] is not None:
        text += f"  {withheld(record['Trust']['WithheldError'])}"
    return text


def gained(record: dict[str, Any]) -> str:
    """PSNR and what it is above that of zero-filling; SSIM too where that is below."""
    own, plain = (record[key]["fastmri-volume"] for key in ("Metrics", "MetricsZeroFilled"))
    text = f"PSNR {own['psnr']:.2f} dB ({own['psnr'] - plain['psnr']:+z.2f} over zero-filled)"
    ssims = [f"{score['ssim']:.3f}" for score in (own, plain)]
    return text + (f"  SSIM {ssims[0]}, below zero-filled {ssims[1]}" if float(ssims[0]) < float(ssims[1]) else "")


def withheld(error: float) -> str:
    """What withheld lines say, in words; error: their energy that was missed, 1 for no better than zero-filling."""
    if error >= 1:
        return "test on withheld lines: no better than leaving them zero"
    return f"test on withheld lines: {100 * (1 - error):.0f} % of their energy predicted"


COMMAND = over_files(
    recon,
    "FILE...",
    options_of(Recon),
    "Undersampled k-space to NIfTI, std map, sidecar and preview. FILE: k-space of any format that is read, folders, or globs.",
)
