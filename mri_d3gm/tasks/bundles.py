"""Bundles: where they are, and running one with errors that name the cause."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mri_d3gm.errors import InputError

PACKAGE = Path(__file__).resolve().parent.parent


def shipped(*parts: str) -> Path:
    """A folder or file shipped beside the package (checkout) or inside it (wheel), such as shipped("pipelines")."""
    for root in (PACKAGE, PACKAGE.parent):
        if (root / parts[0]).is_dir():
            return root.joinpath(*parts)
    raise InputError(f"{PACKAGE}: {'/'.join(parts)} is missing; reinstall mri-d3gm")


@contextmanager
def named_causes() -> Iterator[None]:
    """Raise the InputError beneath MONAI's wrapping, where there is one, in place of the wrapping."""
    try:
        yield
    except Exception as error:
        current: BaseException | None = error
        while current is not None:
            if isinstance(current, InputError):
                raise current from None
            current = current.__cause__ or current.__context__
        raise


def open_bundle(root: Path, config: str | list[str], workflow_type: str, **overrides: Any) -> Any:
    """An initialised MONAI ConfigWorkflow over `config` (files in the bundle or paths), with overridden ids."""
    import logging

    from monai.bundle import ConfigWorkflow

    logging.getLogger("monai.bundle.workflows").setLevel(logging.ERROR)
    logging.getLogger("ignite").setLevel(logging.CRITICAL)
    names = [config] if isinstance(config, str) else config
    files = [name if Path(name).is_file() else str(root / "configs" / name) for name in names]
    meta = str(root / "configs" / "metadata.json")
    workflow = ConfigWorkflow(
        files, meta_file=meta, logging_file=False, workflow_type=workflow_type, bundle_root=str(root), **overrides
    )
    with named_causes():
        workflow.initialize()
    return workflow
