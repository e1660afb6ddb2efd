"""The demonstration: real anatomy from the package made into multi-coil k-space, kept as a file, reconstructed."""

from pathlib import Path
from typing import Any

from mri_d3gm.compute import Progress
from mri_d3gm.io.demo_kspace import write_demo_kspace
from mri_d3gm.runs.names import Outputs
from mri_d3gm.settings import Recon
from mri_d3gm.tasks import recon


def run_demo(folder: Path, settings: Recon, progress: Progress | None = None) -> tuple[Path, Outputs, dict[str, Any]]:
    """Make the demo's k-space in `folder` unless it is there, reconstruct it; the file, output names and record."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "demo_t2_8coils.h5"
    if not source.exists():
        write_demo_kspace(source)
    names = recon.names_of(source, folder)
    record, _ = recon.reconstruct_file(source, settings, names, overwrite=True, progress=progress)
    return source, names, record
