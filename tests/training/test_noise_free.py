"""What a network is given for one evaluation without noise: its centre, whatever the start law's mean is."""

from functools import partial

import pytest
import torch
from scans import phantom

from mri_d3gm.dynamics import DYNAMICS, make_path
from mri_d3gm.methods.drawing import fold_support
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.estimates import Estimates
from mri_d3gm.physics import Cartesian, Unknown
from mri_d3gm.pipeline import solve
from mri_d3gm.settings import Recon, Restore
from mri_d3gm.training.engine import Trainer
from mri_d3gm.training.simulate import simulate
from mri_d3gm.training.sources import Example

SLICES = [Example(torch.from_numpy(image).float() / 3, 1.0, str(index)) for index, image in enumerate(phantom(3, 80, 70))]


class Recorder(torch.nn.Module):
    """Answers mu and keeps the noisy input."""

    def forward(self, noisy: torch.Tensor, mu: torch.Tensor, **_: object) -> Estimates:
        self.seen = noisy
        return Estimates([mu])


def recorder(dynamics: str) -> Denoiser:
    denoiser = Denoiser("unet", {"features": 4, "embedding": 8}, dynamics=dynamics)
    denoiser.net = Recorder()
    return denoiser


def image(*shape: int, dtype: torch.dtype = torch.complex64) -> torch.Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.complex64, torch.float32])
@pytest.mark.parametrize("dynamics", ["d3gm", "ou", "decoupled", "i2sb", "sgm-ve", "goub"])
def test_it_is_mu_to_the_bit_where_a_and_b_add_to_one(dynamics: str, dtype: torch.dtype) -> None:
    mu = image(2, 32, 32, dtype=dtype)
    assert torch.equal(make_path(dynamics).noise_free(mu), mu)


def test_it_is_nearly_nothing_where_the_start_law_forgets_mu() -> None:
    mu = image(2, 8, 8)
    assert float(make_path("sgm-vp").noise_free(mu).abs().max()) < 0.01 * float(mu.abs().max())


@pytest.mark.parametrize("T", [1.0, 3.0])
def test_earlier_times_are_drawn_up_to_the_end_of_the_path(T: float, monkeypatch) -> None:
    class Longer(DYNAMICS["sgm-vp"]):
        pass

    monkeypatch.setattr(Longer, "T", T)
    monkeypatch.setitem(DYNAMICS, "longer", Longer)
    simulator = partial(simulate, batch=8, rows=16, cols=48, crop=24)
    trainer = Trainer(recorder("longer"), SLICES, [], "", simulator, steps=40, spread_after=0.0, early=1.0)
    case = simulator(SLICES, 0)
    t = torch.cat([trainer._state_at_time(case, step)[0] for step in range(20)])
    assert 0.01 * T <= float(t.min()) < 0.05 * T and 0.95 * T < float(t.max()) <= 0.99 * T


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_trainer_regression_and_withheld_lines_see_the_centre(dynamics: str, tmp_path) -> None:
    network, mu = recorder(dynamics), image(1, 24, 32)

    def unmoved() -> bool:
        return float(network.net.seen.abs().max()) < 1e-6

    solve(Unknown(mu), network, Recon(method="regression"))
    assert unmoved()
    solve(Unknown(image(1, 3, 24, 24, dtype=torch.float32)), network, Restore(method="regression"))
    assert unmoved()
    mask = torch.zeros(1, 1, 32, dtype=torch.bool)
    mask[..., ::2] = mask[..., 12:20] = True
    assert fold_support(network, Cartesian(image(1, 1, 24, 32), mask), 0) is not None and unmoved()
    simulator = partial(simulate, batch=2, rows=16, cols=48, crop=24)
    trainer = Trainer(network, SLICES, SLICES[:1], str(tmp_path), simulator, steps=4, spread_after=1.0)
    case = simulator(SLICES, 0)
    t, x = trainer._state_at_time(case, 0)
    network.estimates(x, t, case.mu, case.measurement)
    assert unmoved() and bool((t == 1).all())
    trainer.validate(network.state_dict(), count=1)
    assert unmoved()
