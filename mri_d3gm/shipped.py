"""Files that come with the package: bundles, configurations, the demo's data."""

from pathlib import Path

from mri_d3gm.errors import InputError

PACKAGE = Path(__file__).resolve().parent


def shipped(*parts: str) -> Path:
    """A folder or file next to the package (checkout) or inside it (wheel), such as shipped("pipelines").

    InputError where that folder is not there, or has nothing of the second name.
    """
    for root in (PACKAGE, PACKAGE.parent):
        if (root / parts[0]).is_dir():
            there = sorted(path.name for path in (root / parts[0]).iterdir() if not path.name.startswith((".", "_")))
            if len(parts) > 1 and parts[1] not in there:
                raise InputError(f"{parts[1]}: not among {parts[0]}: {', '.join(there)}")
            return root.joinpath(*parts)
    raise InputError(f"{PACKAGE}: {'/'.join(parts)} is missing; reinstall mri-d3gm")
