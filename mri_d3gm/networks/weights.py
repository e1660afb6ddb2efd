"""Weights on disk: float16 safetensors with the denoiser's configuration and training record inside."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from mri_d3gm.errors import InputError, in_a_line
from mri_d3gm.io.stamps import stamps
from mri_d3gm.networks.denoiser import NETWORKS, Denoiser
from mri_d3gm.networks.files import weights_files

MOST = 4096  # of any number in a network's options


def save_weights(path: str | Path, denoiser: Denoiser, record: dict[str, Any]) -> None:
    """Write the denoiser's state with its config and `record` (steps, data, command) as metadata: floats as float16, but for
    tensors that it cannot hold.

    InputError where the disk is full.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    from mri_d3gm.io.atomic import atomic_path

    state = {name: _small(tensor.detach().cpu()).contiguous() for name, tensor in denoiser.state_dict().items()}
    with atomic_path(Path(path)) as temporary:
        try:
            save_file(state, temporary, {"config": json.dumps(denoiser.config), "record": json.dumps(record)})
        except SafetensorError as error:
            raise InputError(f"{path}: cannot be written ({in_a_line(error)}); is the disk full?") from error


def _in(dtype: torch.dtype, tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of floats in other ones; counters and flags stay as they are."""
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _small(tensor: torch.Tensor) -> torch.Tensor:
    """Floats as float16, but where finite ones would overflow."""
    half = _in(torch.float16, tensor)
    return half if torch.equal(half.isinf(), tensor.isinf()) else tensor


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    """A weights file; InputError when it is missing or is not safetensors, which reading from it may be the first to tell."""
    from safetensors import safe_open

    if not Path(path).is_file():
        raise InputError(f"{path}: no weights there; give --weights FILE or reinstall the package")
    try:
        with safe_open(str(path), "pt") as file:
            yield file
    except Exception as error:
        raise InputError(f"{path}: not a safetensors file ({type(error).__name__}); weights end in .safetensors") from error


def metadata_of(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration and the training record inside a weights file; InputError when it has none."""
    with _opened(path) as file:
        metadata = file.metadata() or {}
    if "config" not in metadata or "record" not in metadata:
        raise InputError(f"{path}: weights of another program: no mri-d3gm configuration inside")
    try:
        config, record = json.loads(metadata["config"]), json.loads(metadata["record"])
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: its configuration is damaged; copy the weights again") from error
    if not isinstance(config, dict) or not isinstance(record, dict):
        raise InputError(f"{path}: weights of another program: no mri-d3gm configuration inside")
    return config, record


def load_weights(path: str | Path, device: str | torch.device = "cpu") -> tuple[Denoiser, dict[str, Any]]:
    """The denoiser of a weights file, in evaluation mode, and its training record.

    InputError when the file is missing, is not safetensors, was never trained, or does not fit its own config.
    """
    config, record = metadata_of(path)
    with _opened(path) as file:
        state = {name: _in(torch.float32, file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    if not record.get("steps"):
        raise InputError(f"{path}: these weights were never trained (0 steps); use trained ones")
    try:
        _check_size(config, state)
        denoiser = _built(config, state)
        denoiser.load_state_dict(state, assign=True)
    except Exception as error:  # a configuration may hold anything
        first = (str(error).strip().splitlines() or ["its configuration is damaged"])[0][:200]
        raise InputError(f"{path}: weights do not fit the network that they name ({first})") from error
    finite = all(parameter.isfinite().all() for parameter in denoiser.parameters())
    if not finite or any(tensor.isnan().any() for tensor in state.values()):  # buffers may be masks of -inf
        raise InputError(f"{path}: weights hold NaN or Inf; the training that made them diverged")
    return denoiser.to(device).eval().requires_grad_(False), record


def _built(config: dict[str, Any], state: dict[str, torch.Tensor]) -> Denoiser:
    """The denoiser of a configuration; without memory of its own, which is quick, where the state fills all of it."""
    if not config.get("spectral_norm"):
        with torch.device("meta"):
            denoiser = Denoiser(**config)
        if all(name in state for name, _ in (*denoiser.named_parameters(), *denoiser.named_buffers())):
            return denoiser
    with torch.device("cpu"):
        return Denoiser(**config)


def _check_size(config: dict[str, Any], state: dict[str, torch.Tensor]) -> None:
    """ValueError where the network of a configuration needs more numbers than there are: before it is made of real memory."""
    options = config.get("options") or {}
    if any(isinstance(value, int) and value > MOST for value in options.values()):
        raise ValueError(f"an option is above {MOST}")
    with torch.device("meta"):
        shapes = [tensor.shape for tensor in NETWORKS[config["network"]](**options).state_dict().values()]
    if sum(map(math.prod, shapes)) > sum(tensor.numel() for tensor in state.values()):
        raise ValueError("it needs more numbers than the file holds")


def load_network(path: str | Path, device: str | torch.device = "cpu", tau: float | None = None) -> Denoiser:
    """The denoiser alone, with that for images of smooth phase where there is one (`weights_files`), kept while its files stay
    as they are; tau in place of the one that its path was trained with.
    """
    files = weights_files(path)
    return _loaded(tuple(map(str, files)), str(device), tau, stamps(files))


def check_channels(name: str | Path, network: Denoiser, needed: int) -> None:
    """InputError for weights of photographs, of three channels, in place of complex images, of two, or the other way round."""
    channels = network.config["options"].get("channels", 2)
    if channels != needed:
        raise InputError(f"{name}: weights of another task: {channels} channels, and {needed} are needed")


@lru_cache(maxsize=4)
def _loaded(paths: tuple[str, ...], device: str, tau: float | None, _: object) -> Denoiser:
    denoiser, *smooth = (load_weights(path, device)[0] for path in paths)
    if tau is not None:
        if "tau" not in denoiser.config["path_options"]:
            raise InputError(f"--tau {tau}: the weights' dynamics, {denoiser.config['dynamics']}, has none; leave it out")
        denoiser.path = replace(denoiser.path, tau=tau)  # type: ignore[type-var]
    for other in smooth:
        if any(other.config[name] != denoiser.config[name] for name in ("dynamics", "path_options")):
            raise InputError(f"{paths[1]}: was trained under other dynamics than {Path(paths[0]).name}; move it away")
        denoiser.smooth, other.path = other, denoiser.path
    return denoiser
