"""MONAI configurations: overlays on a bundle, and a workflow whose errors name the cause."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mri_d3gm.errors import InputError
from mri_d3gm.shipped import shipped


def overlay_file(config: str) -> Path:
    """An overlay: a file, or the name of one in configs/."""
    path = Path(config)
    if not path.is_file():
        path = shipped("configs") / (path.name if path.suffix else f"{path.name}.json")
    if not path.is_file():
        raise InputError(f"{config}: no such configuration, here or among those shipped")
    return path


def _keys(path: Path) -> dict[str, Any]:
    from monai.bundle import ConfigParser

    try:
        return dict(ConfigParser.load_config_file(path))
    except Exception as error:
        raise InputError(f"{path}: not a JSON or YAML object; see configs/ for examples") from error


def overlay_files(config: str) -> list[Path]:
    """The overlay after the ones that its key `extends` names."""
    path = overlay_file(config)
    base = _keys(path).get("extends")
    return [*(overlay_files(base) if base else []), path]


def overlay_keys(config: str) -> dict[str, Any]:
    """What an overlay, JSON or YAML, says, over what the ones that it extends say."""
    return {name: value for path in overlay_files(config) for name, value in _keys(path).items()}


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
