"""MONAI configurations: overlays on a bundle, and a workflow whose errors name the cause."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from inspect import Parameter, signature
from pathlib import Path
from pydoc import ErrorDuringImport, locate
from typing import Any

from mri_d3gm.errors import InputError, beneath, in_a_line, unknown
from mri_d3gm.shipped import shipped
from mri_d3gm.training.limits import NUMBERS

FAILED = "Failed to instantiate component"  # MONAI's words
# keys of overlays that train.json lacks: what is measured, how, next to which figures; and those of MONAI itself
OWN = (
    *("extends", "pipeline", "task", "domains", "protocol", "sampling", "methods", "variants", "starts"),
    *("dynamics", "seeds", "evaluations", "paper", "notes"),
    *("imports", "initialize", "run", "finalize"),
)


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


def overlay_files(config: str, before: tuple[Path, ...] = ()) -> list[Path]:
    """The overlay after the ones that its key `extends` names; before: those that led to it."""
    path = overlay_file(config)
    if path.resolve() in before:
        raise InputError(f"{path}: extends itself{' by way of others' if before[-1] != path.resolve() else ''}; name another")
    base = _keys(path).get("extends")
    if not isinstance(base, str | None):
        raise InputError(f"{path}: extends must be the name or the file of one overlay, not {base!r}")
    return [*(overlay_files(base, (*before, path.resolve())) if base else []), path]


def overlay_keys(config: str) -> dict[str, Any]:
    """What an overlay, JSON or YAML, says, over what the ones that it extends say; InputError for a key that nothing knows."""
    keys = {name: value for path in overlay_files(config) for name, value in _keys(path).items()}
    base = _keys(shipped("pipelines", keys.get("pipeline", "reconstruction")) / "configs" / "train.json")
    names = [name.lstrip("+") for name in map(str, keys) if not {"#", ":"} & set(name)]
    check_names(names, (*base, *OWN), set(_referred(keys)))
    return keys


def _referred(config: Any, name: str = "") -> Iterator[str]:
    """The ids that what is below the id `name` refers to, as MONAI reads them, and the groups they are in; joined by `#`."""
    from monai.bundle import ConfigParser, ReferenceResolver

    if isinstance(config, dict | list):
        for key, part in config.items() if isinstance(config, dict) else enumerate(config):
            below = ReferenceResolver.normalize_id(key).lstrip("+")
            yield from _referred(part, f"{name}{ReferenceResolver.sep}{below}" if name else below)
    elif isinstance(config, str):
        try:
            text = ConfigParser.resolve_relative_ids(name, config)
        except ValueError as error:
            raise InputError(f"{'#'.join(ReferenceResolver.split_id(name))}: {error}") from error
        for one in (text[1:],) if text.startswith("%") else ReferenceResolver.match_refs_pattern(text):
            parts = ReferenceResolver.split_id(one)
            yield from ("#".join(parts[: end + 1]) for end in range(len(parts)))


def check_names(names: Iterable[Any], known: Iterable[Any], referred: set[str], prefix: str = "") -> None:
    """InputError for one of the names below `prefix` that is neither known, nor hidden, nor an id that is referred to."""
    known = list(map(str, known))
    for name in map(str, names):
        if name not in known and not name.startswith("_") and prefix + name not in referred:
            raise unknown(name, known, prefix, () if prefix else NUMBERS)


def check_ids(config: dict[str, Any], base: dict[str, Any]) -> None:
    """InputError for an id in `config` that `base` lacks and no component's signature has; MONAI would take any."""
    referred = set(_referred(config))
    check_names(config, (*base, *OWN), referred)
    for name, value in config.items():
        _check_within(value, base.get(name), f"{name}#", referred)


def _keywords(component: Callable[..., Any]) -> list[str] | None:
    """Names that a component can be given; None where it takes any, or does not say."""
    try:
        keywords = signature(component).parameters
    except (TypeError, ValueError):
        return None
    return None if any(each.kind is Parameter.VAR_KEYWORD for each in keywords.values()) else list(keywords)


def _check_within(part: Any, base: Any, prefix: str, referred: set[str]) -> None:
    """The same below the id `prefix`: keywords of a component, or entries of a group of them."""
    if not isinstance(part, dict):
        return
    known: Iterable[str] = base if isinstance(base, dict) else part
    if "_target_" in part:
        try:
            component = locate(str(part["_target_"]))
        except ErrorDuringImport as error:
            raise InputError(f"{prefix}_target_: {error}; see that file") from error
        keywords = _keywords(component) if callable(component) else None
        if keywords is None:
            return
        known = keywords
    check_names(part, known, referred, prefix)
    for name, value in part.items():
        if "_target_" not in part or (isinstance(value, dict) and "_target_" in value):
            _check_within(value, base.get(name) if isinstance(base, dict) else None, f"{prefix}{name}#", referred)


@contextmanager
def named_causes() -> Iterator[None]:
    """Raise the InputError beneath MONAI's wrapping, where there is one, in place of the wrapping; another cause of a component
    that could not be made becomes one.
    """
    try:
        yield
    except Exception as error:
        said = beneath(error)
        if said is not None:
            raise said from None
        if FAILED in str(error):
            component = str(error).partition(FAILED)[2].split("'")[1]
            raise InputError(f"{component}: cannot be made, {in_a_line(error)}; see the configuration") from error
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
    try:
        workflow = ConfigWorkflow(
            files, meta_file=meta, logging_file=False, workflow_type=workflow_type, bundle_root=str(root), **overrides
        )
    except KeyError as error:  # of an id whose group is not there
        raise InputError(f"{files[-1]}: {error.args[0]}: no such group of keys in {files[0]}") from error
    check_ids(workflow.parser.get(), _keys(Path(files[0])))
    with named_causes():
        workflow.initialize()
    return workflow
