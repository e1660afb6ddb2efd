"""The network that a training starts from: new, or grown from weights that exist."""

from typing import Any

import torch

from mri_d3gm.errors import InputError
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.weights import load_weights


def seeded_denoiser(seed: int, initial: str | None = None, **config: Any) -> Denoiser:
    """A denoiser whose first weights follow from the seed, or are those of the file `initial`, whose config then holds.

    sigma_r, and options of the network that the file lacks or has otherwise, are taken from here; what they add follows from
    the seed. Blocks beyond the file's are copies of its last one that at first change nothing: the layers named `last` start
    at zero. InputError where a part of the file would not be in the network, but for the head that foretells errors where that
    is not asked for: no image depends on it.
    """
    torch.manual_seed(seed)
    if initial is None:
        return Denoiser(**config)
    known = load_weights(initial)[0]
    options = known.config["options"] | (config.get("options") or {})
    grown = Denoiser(**known.config | {"options": options, "sigma_r": config.get("sigma_r", known.sigma_r)})
    headless = options.get("foretell") is False
    state = {name: value for name, value in known.state_dict().items() if not (headless and name.startswith("net.error."))}
    first, count = (denoiser.config["options"].get("blocks", 0) for denoiser in (known, grown))
    for name in [name for name in state if name.startswith(f"net.blocks.{first - 1}.") and ".last." not in name]:
        state |= {name.replace(f".{first - 1}.", f".{index}.", 1): state[name] for index in range(first, count)}
    try:
        lost = grown.load_state_dict(state, strict=False).unexpected_keys
    except RuntimeError as error:
        raise InputError(
            f"{initial}: initial weights of another size than network_def#options; leave the options out"
        ) from error
    if lost:
        raise InputError(f"{initial}: initial weights hold more than network_def#options have ({lost[0]}); ask for as much")
    return grown
