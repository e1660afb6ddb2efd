import torch

from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.physics.unknown import Unknown

OPTIONS = {"features": 8, "levels": 2, "blocks": 1, "channels": 3, "unshuffle": 2}


def test_a_state_of_noise_hardly_counts_and_one_near_the_picture_does() -> None:
    torch.manual_seed(0)
    denoiser = Denoiser("nafnet", OPTIONS, sigma_r=0.17)
    torch.nn.init.normal_(denoiser.net.last.weight, std=0.1)  # type: ignore[union-attr, arg-type]
    mu = torch.rand(1, 3, 32, 32)

    def moved(time: float) -> float:
        """RMS change of the estimate for other noise of the path at a part of T, relative to what the network does."""
        t = torch.full((1,), time * denoiser.path.T, dtype=torch.float64)
        centre, spread = (denoiser.path.A(t) + denoiser.path.B(t)).item() * mu, denoiser.path.s(t).item()
        one, other = (denoiser.estimates(centre + spread * torch.randn(mu.shape), t, mu, Unknown(mu)).images[0] for _ in "ab")
        return float((one - other).square().mean().sqrt() / (one - mu).square().mean().sqrt())

    with torch.no_grad():
        assert moved(1.0) < 0.1 < moved(0.3)
