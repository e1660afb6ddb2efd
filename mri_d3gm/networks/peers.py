"""fastMRI's U-Net and VarNet behind this package's interface, to be trained and measured next to it: regression, no time."""

import torch
from torch import Tensor, nn

from mri_d3gm.networks.channels import from_channels, to_channels
from mri_d3gm.networks.estimates import Estimates
from mri_d3gm.physics.cartesian import Cartesian
from mri_d3gm.physics.fft import fft2c, ifft2c
from mri_d3gm.physics.measurement import Measurement
from mri_d3gm.physics.operators import combine


class FastMRIUNet(nn.Module):
    """`fastmri.models.Unet` (Zbontar et al., 2018) from mu to its residual."""

    def __init__(self, features: int = 32, levels: int = 4) -> None:
        super().__init__()
        from fastmri.models.unet import Unet

        self.net = Unet(2, 2, features, levels)

    def forward(self, mu: Tensor, **_: object) -> Estimates:
        """One estimate of x0, (batch, rows, cols) complex, from mu of that shape."""
        return Estimates([mu + from_channels(self.net(to_channels(mu)).float(), mu)])


class FastMRIVarNet(nn.Module):
    """Cascades of `fastmri.models.varnet.VarNetBlock` (Sriram et al., MICCAI 2020) under the coil maps that are given."""

    waits = True  # each block copies a zero from the host

    def __init__(self, features: int = 12, levels: int = 3, cascades: int = 4) -> None:
        super().__init__()
        from fastmri.models.varnet import NormUnet, VarNetBlock

        self.cascades = nn.ModuleList(VarNetBlock(NormUnet(features, levels)) for _ in range(cascades))

    def forward(self, mu: Tensor, measurement: Measurement, **_: object) -> Estimates:
        """One estimate of x0, (batch, rows, cols) complex; what is not Cartesian counts as nothing measured."""
        kspace, maps = fft2c(mu)[:, None], None
        sampled = torch.zeros_like(kspace, dtype=torch.bool)
        if isinstance(measurement, Cartesian):
            kspace, maps = measurement.kspace, measurement.coil_maps
            sampled = measurement.mask.expand(mu.shape)[:, None]
        measured = torch.view_as_real(kspace.contiguous())
        real_maps = torch.view_as_real(torch.ones_like(kspace) if maps is None else maps.contiguous())
        current = measured
        for block in self.cascades:
            current = block(current, measured, sampled[..., None], real_maps)
        return Estimates([combine(ifft2c(torch.view_as_complex(current.contiguous())), maps)])
