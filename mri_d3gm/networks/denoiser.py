"""The denoiser: a network, the path it was trained on, and the preconditioning between them."""

from dataclasses import fields
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from mri_d3gm.dynamics import make_path
from mri_d3gm.dynamics.path import require_positive
from mri_d3gm.errors import InputError
from mri_d3gm.networks.channels import for_each, from_channels, to_channels
from mri_d3gm.networks.consistent import ConsistentNet
from mri_d3gm.networks.estimates import Estimates
from mri_d3gm.networks.nafnet import NAFNet
from mri_d3gm.networks.peers import FastMRIUNet, FastMRIVarNet
from mri_d3gm.networks.precondition import precondition
from mri_d3gm.networks.scattering import Scattering
from mri_d3gm.networks.unet import UNet
from mri_d3gm.physics.measurement import Measurement
from mri_d3gm.physics.unknown import Unknown

NETWORKS: dict[str, type[nn.Module]] = {
    "consistent": ConsistentNet,
    "unet": UNet,
    "nafnet": NAFNet,
    "scattering": Scattering,
    "fastmri-unet": FastMRIUNet,
    "fastmri-varnet": FastMRIVarNet,
}


class Denoiser(nn.Module):
    """Estimate of x0 from x_t, mu and what was measured.

    network: a name of NETWORKS, options its arguments; dynamics: a name of DYNAMICS, path_options its arguments;
    sigma_r: standard deviation of x0 - mu per real channel on normalised images. `config` holds all of them, defaults too,
    so that weights load after a default has changed. spectral_norm: every convolution and linear layer has spectral norm 1;
    those that start at zero, which cannot be normalised, start at random.

    smooth: a denoiser of the same path that takes the place of this one for images whose phase is smooth
    (`Measurement.smooth_phase`), none at first. It is no part of what is trained or saved.
    """

    smooth: "Denoiser | None"

    def __init__(
        self,
        network: str = "consistent",
        options: dict[str, Any] | None = None,
        dynamics: str = "d3gm",
        path_options: dict[str, Any] | None = None,
        sigma_r: float = 0.15,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        require_positive(sigma_r=sigma_r)
        if network not in NETWORKS:
            raise InputError(f"network: must be one of {', '.join(NETWORKS)}, not {network}")
        defaults = {name: given.default for name, given in signature(NETWORKS[network]).parameters.items()}
        try:
            self.net = NETWORKS[network](**(options or {}))
        except TypeError as error:
            raise InputError(f"network {network}: {error}; its options are {', '.join(defaults)}") from error
        self.path = make_path(dynamics, **(path_options or {}))
        self.config: dict[str, Any] = {
            "network": network,
            "options": defaults | (options or {}),
            "dynamics": dynamics,
            "path_options": {f.name: getattr(self.path, f.name) for f in fields(self.path) if f.init},  # type: ignore[arg-type]
            "sigma_r": sigma_r,
            "spectral_norm": spectral_norm,
        }
        self.sigma_r = sigma_r
        self.smooth = None
        if spectral_norm:
            for module in [m for m in self.net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]:
                if not module.weight.any():
                    nn.init.kaiming_uniform_(module.weight, a=5**0.5)
                nn.utils.parametrizations.spectral_norm(module)

    def estimates(self, x: Tensor, t: Tensor, mu: Tensor, measurement: Measurement, *, close: bool = True) -> Estimates:
        """Estimates of x0; x, mu (batch, rows, cols) complex, or (batch, channels, rows, cols) real; t (batch,).

        close=False leaves out the agreement with the measurement after the network's last block. A measurement that is
        undersampled along rows alone is turned and the answer turned back.
        """
        if measurement.masked_axes == (-2,):
            x, mu = x.transpose(-2, -1), mu.transpose(-2, -1)
            answer = self.estimates(x, t, mu, measurement.turned(), close=close)
            error = None if answer.error is None else answer.error.transpose(-2, -1)
            return Estimates([image.transpose(-2, -1) for image in answer.images], error)
        flags, parts = [False] if self.smooth is None else measurement.smooth_phase().tolist(), []
        if len(set(flags)) == 1:
            return (self.smooth or self if flags[0] else self)._answer(x, t, mu, measurement, close)
        for i, smooth in enumerate(flags):
            one, chosen = slice(i, i + 1), self.smooth or self if smooth else self
            parts.append(chosen._answer(x[one], t[one], mu[one], measurement[one], close))
        images = [torch.cat(each) for each in zip(*(part.images for part in parts), strict=True)]
        errors = [part.error for part in parts if part.error is not None]
        return Estimates(images, torch.cat(errors) if len(errors) == len(flags) else None)

    def _answer(self, x: Tensor, t: Tensor, mu: Tensor, measurement: Measurement, close: bool) -> Estimates:
        """Estimates by this denoiser itself."""
        c_in, c_skip, c_out, log_snr = precondition(self.path, t, self.sigma_r)
        centred = x - for_each(self.path.A(t) + self.path.B(t), mu) * mu
        return self.net(
            noisy=for_each(c_in, mu) * centred,
            start=mu + for_each(c_skip, mu) * centred,
            mu=mu,
            gain=for_each(c_out / self.sigma_r, mu),
            log_snr=log_snr.to(mu.device, torch.float32),
            measurement=measurement,
            close=close,
        )

    def at_the_end(self, measurement: Measurement, *, mu: Tensor | None = None, close: bool = True) -> Estimates:
        """Estimates from one evaluation at T of the state without noise; mu: the prior mean where it is at hand."""
        mean = measurement.prior_mean() if mu is None else mu
        return self.estimates(self.path.noise_free(mean), self.path.last(len(mean)), mean, measurement, close=close)

    def forward(
        self, x: Tensor, t: Tensor | None = None, mu: Tensor | None = None, measurement: Measurement | None = None
    ) -> Tensor:
        """Real (batch, channels, rows, cols) to the same; without t at the start law, without mu 0.

        Two channels are real and imaginary part of a complex image.
        """
        like = torch.empty(0, dtype=torch.complex64 if x.shape[1] == 2 else torch.float32)
        image = from_channels(x.float(), like)
        t = self.path.last(len(x)) if t is None else t
        centre = torch.zeros_like(image) if mu is None else from_channels(mu.float(), like)
        known = Unknown(centre) if measurement is None else measurement
        return to_channels(self.estimates(image, t, centre, known).images[-1])
