"""Preconditioning, for paths with B = 1 - A and without."""

import pytest
import torch
from paths import each_path, last

from mri_d3gm.dynamics.path import Dynamics
from mri_d3gm.networks.precondition import precondition

SIGMA_R = 0.15


@each_path
def test_input_and_target_have_unit_variance_in_each_part(path: Dynamics) -> None:
    generator = torch.Generator().manual_seed(0)
    x0, mu, eps = (torch.randn(200_000, dtype=torch.float64, generator=generator) for _ in range(3))
    x0 = mu + SIGMA_R * x0
    for time in (0.05, 0.3, 0.6, last(path)):
        t = torch.tensor(time, dtype=torch.float64)
        A, B, s = path.A(t), path.B(t), path.s(t)
        c_in, c_skip, c_out, _ = precondition(path, t, SIGMA_R)
        centred = A * x0 + B * mu + s * eps - (A + B) * mu
        seen, target = c_in * centred, (x0 - mu - c_skip * centred) / c_out
        assert float(seen.std()) == pytest.approx(1, abs=0.01)
        assert float(target.std()) == pytest.approx(1, abs=0.01)
        assert abs(float((seen * target).mean())) < 0.01


@each_path
def test_scales_are_finite_at_both_ends(path: Dynamics) -> None:
    t = torch.tensor([0.0, 1e-12, 1.0], dtype=torch.float64)
    c_in, c_skip, c_out, log_snr = precondition(path, t, SIGMA_R)
    for scale in (c_in, c_skip, c_out, log_snr):
        assert scale.dtype == torch.float64 and scale.shape == t.shape and bool(scale.isfinite().all())
    assert float(c_skip[0]) == pytest.approx(1) and float(c_out[0]) == 0
    near = torch.tensor(last(path, 1e-9), dtype=torch.float64)
    A, s = float(path.A(near)), float(path.s(near))
    assert float(c_skip[-1]) == pytest.approx(A * SIGMA_R**2 / (A**2 * SIGMA_R**2 + s**2))
    assert float(c_out[-1]) == pytest.approx(SIGMA_R * s / (A**2 * SIGMA_R**2 + s**2) ** 0.5)
