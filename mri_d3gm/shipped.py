"""Files that come with the package: bundles, configurations, the demo's data."""

from pathlib import Path

from mri_d3gm.errors import InputError

PACKAGE = Path(__file__).resolve().parent


def shipped(*parts: str) -> Path:
    """A folder or file next to the package (checkout) or inside it (wheel), such as shipped("pipelines")."""
    for root in (PACKAGE, PACKAGE.parent):
        if (root / parts[0]).is_dir():
            return root.joinpath(*parts)
    raise InputError(f"{PACKAGE}: {'/'.join(parts)} is missing; reinstall mri-d3gm")
