"""mri-d3gm demo."""

from pathlib import Path
from typing import Annotated

import typer

from mri_d3gm.cli.batch import with_progress


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for k-space, NIfTI and picture.")] = Path(
        "mri-d3gm-demo"
    ),
    accel: Annotated[float, typer.Option(help="Acceleration.")] = 8.0,
) -> None:
    """Reconstruct real anatomy from the package's own k-space; nothing else is needed."""
    from rich.console import Console

    with Console(stderr=True).status("loading"):
        from mri_d3gm.tasks.demo import run_demo
    source, names, result = with_progress("demo", False, lambda report: run_demo(output, accel, report))
    psnr, before = (result.record[key]["fastmri-volume"]["psnr"] for key in ("Metrics", "MetricsZeroFilled"))
    print(f"k-space  {source}")
    print(f"NIfTI    {names.volume}")
    print(f"std      {names.std}")
    print(f"picture  {names.preview}")
    achieved = result.record["Sampling"]["AccelerationAchieved"]
    print(f"R = {achieved:g}: PSNR {psnr:.2f} dB, {psnr - before:+.2f} dB over zero-filled")
