"""The sampling loop: seeds, batches, start, count of evaluations, progress."""

import pytest
import torch

from mri_d3gm.dynamics import DYNAMICS, make_path
from mri_d3gm.samplers import SOLVERS
from mri_d3gm.samplers.grids import GRIDS
from mri_d3gm.samplers.sample import noise_source, sample
from mri_d3gm.samplers.solver import Denoise

PATH = make_path("d3gm")


def half(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return 0.5 * x


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_last_step_is_the_consistent_estimate_and_never_nan(dynamics: str, name: str, grid: str, dtype: torch.dtype) -> None:
    path, mu = make_path(dynamics), torch.zeros(2, 3, 3, dtype=dtype)
    for steps in (1, 2, 5):
        x, count = sample(path, lambda x, t: 0 * x, mu, SOLVERS[name], steps, [0, 1], grid=grid, on_x0=lambda x0: x0 + 1)
        assert count == steps and x.dtype == dtype
        torch.testing.assert_close(x, torch.ones_like(x))


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_a_sample_depends_on_its_seed_and_not_on_its_batch(dynamics: str, name: str) -> None:
    path = make_path(dynamics)
    mu = torch.randn(1, 4, 4, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))

    def draw(seeds: list[int]) -> torch.Tensor:
        return sample(path, half, mu.expand(len(seeds), -1, -1), SOLVERS[name], 6, seeds)[0]

    torch.testing.assert_close(draw([3, 4, 5])[1], draw([4])[0], atol=1e-5, rtol=1e-5)
    assert torch.equal(draw([3, 4]), draw([3, 4]))
    assert not torch.allclose(draw([3]), draw([4]))


def test_noise_has_unit_variance_in_each_part_and_does_not_repeat() -> None:
    noise = noise_source([0, 1], torch.device("cpu"))
    like = torch.zeros(2, 200, 200, dtype=torch.complex64)
    first, second = noise(like), noise(like)
    for part in (first.real, first.imag):
        assert float(part.mean()) == pytest.approx(0, abs=0.02)
        assert float(part.std()) == pytest.approx(1, abs=0.02)
    assert abs(float((first.real * first.imag).mean())) < 0.02
    assert not torch.allclose(first, second) and not torch.allclose(first[0], first[1])
    assert float(noise(torch.zeros(2, 200, 200)).std()) == pytest.approx(1, abs=0.02)


def recorder() -> tuple[list[tuple[torch.Tensor, float]], Denoise]:
    seen: list[tuple[torch.Tensor, float]] = []

    def denoise(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        seen.append((x, float(t[0])))
        return x

    return seen, denoise


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_reverse_process_starts_at_the_start_law(dynamics: str) -> None:
    path = make_path(dynamics)
    seen, denoise = recorder()
    sample(path, denoise, torch.full((1, 64, 64), 0.3), SOLVERS["posterior"], 3, [0])
    x, t = seen[0]
    mean, deviation = path.start()
    assert t == path.T
    assert float(x.mean()) == pytest.approx(0.3 * mean, abs=4 * deviation / 64 + 1e-6)
    assert float(x.std()) == pytest.approx(deviation, rel=0.1, abs=1e-6)


def test_reverse_process_from_a_first_guess_starts_at_its_marginal() -> None:
    seen, denoise = recorder()
    mu, guess = torch.full((1, 64, 64), 0.5), torch.ones(1, 64, 64)
    sample(PATH, denoise, mu, SOLVERS["posterior"], 3, [0], first_guess=guess, t0=0.4)
    x, t = seen[0]
    A, B, s = (float(c(torch.tensor(0.4, dtype=torch.float64))) for c in (PATH.A, PATH.B, PATH.s))
    assert t == pytest.approx(0.4)
    assert float(x.mean()) == pytest.approx(A + 0.5 * B, abs=4 * s / 64)
    assert float(x.std()) == pytest.approx(s, rel=0.1)


def test_progress_hears_of_every_evaluation() -> None:
    heard: list[tuple[int, int]] = []
    sample(PATH, half, torch.zeros(1, 2), SOLVERS["multistep"], 3, [0], progress=lambda done, of: heard.append((done, of)))
    assert heard == [(1, 3), (2, 3), (3, 3)]


def test_arguments_that_do_not_fit_are_refused() -> None:
    mu, guess, solver = torch.zeros(1, 2), torch.ones(1, 2), SOLVERS["posterior"]
    with pytest.raises(ValueError, match="seeds"):
        sample(PATH, half, mu, solver, 2, [0, 1])
    with pytest.raises(ValueError, match="steps"):
        sample(PATH, half, mu, solver, 0, [0])
    for first_guess, t0 in ((None, 0.4), (guess, None), (guess, 0.0), (guess, 1.5)):
        with pytest.raises(ValueError, match="t0"):
            sample(PATH, half, mu, solver, 2, [0], first_guess=first_guess, t0=t0)
