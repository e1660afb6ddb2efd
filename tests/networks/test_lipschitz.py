import pytest
import torch

from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.physics import Unknown

SMALL = {"consistent": {"blocks": 1, "features": 8, "embedding": 16}, "unet": {"features": 8, "embedding": 16}}


@pytest.mark.parametrize("network", SMALL)
def test_layers_have_norm_one_from_the_start_and_the_config_rebuilds_them(network: str) -> None:
    denoiser = Denoiser(network, SMALL[network], spectral_norm=True)
    mu, t = torch.randn(1, 16, 24, dtype=torch.complex64), torch.ones(1, dtype=torch.float64)
    with torch.no_grad():
        for _ in range(15):
            denoiser.estimates(mu, t, mu, Unknown(mu))
    layers = [m for m in denoiser.net.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    norms = [float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)) for layer in layers]
    assert layers and all(0.9 < norm < 1.15 for norm in norms)
    again = Denoiser(**denoiser.config)
    again.load_state_dict(denoiser.state_dict())
    answers = [d.eval().estimates(mu, t, mu, Unknown(mu)).images[-1] for d in (denoiser, again)]
    assert torch.equal(*answers) and bool(torch.isfinite(answers[0].abs()).all())
