"""Laws that every measurement of the registry holds."""

import pytest
import torch
from torch import Tensor

from mri_d3gm.methods.drawing import view_of
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.physics import MEASUREMENTS, Cartesian, Measurement
from mri_d3gm.physics.fft import SYMMETRIES, View
from mri_d3gm.physics.measurement import MEASURED, MISSING, OUTSIDE

BATCH, AXES = 3, [(), (-1,), (-2,), (-2, -1)]
CASES = [(name, seed, size) for name in MEASUREMENTS for seed in range(8) for size in ((16, 18), (15, 13))]


def normal(shape, seed: int) -> Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}-{case[2][0]}")
def case(request) -> tuple[str, int, tuple[int, int]]:
    return request.param


@pytest.fixture
def measurement(case) -> Measurement:
    name, seed, size = case
    return MEASUREMENTS[name].simulate(normal((BATCH, *size), seed), torch.Generator().manual_seed(seed))


def near(measurement: Measurement, seed: int) -> Tensor:
    """An estimate of the shape of the measurement's images, real where they are."""
    estimate = normal(measurement.prior_mean().shape, seed)
    return estimate.real.to(estimate.dtype) if measurement.real else estimate


def test_adjointness(measurement: Measurement) -> None:
    x = near(measurement, 101)
    y = normal(measurement.forward(x).shape, 2)
    left, right = (measurement.forward(x).conj() * y).sum(), (x.conj() * measurement.adjoint(y)).sum()
    assert abs(left - right) < 1e-5 * float(x.norm() * (y.norm() + 1))


def test_agreement_is_idempotent_where_it_is_exact_and_a_contraction_where_it_is_not(measurement: Measurement) -> None:
    first, second = near(measurement, 101), near(measurement, 102)
    one, two = measurement.agree(first), measurement.agree(second)
    assert float((one - two).norm()) <= float((first - second).norm()) * (1 + 1e-4)
    residuals = measurement.residual(first), measurement.residual(one)
    if measurement.exact:
        torch.testing.assert_close(measurement.agree(one), one, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(measurement.conclude(first, 0.1), one, atol=1e-5, rtol=1e-4)
        assert residuals[1] is None or float(residuals[1].max()) < 1e-5
        assert measurement.weight() is None
    else:
        assert measurement.weight() is not None and residuals[0] is not None and residuals[1] is not None
        assert bool((residuals[1] < 0.7 * residuals[0]).all())


def test_residual_is_the_root_mean_square_of_measured_real_and_imaginary_samples(measurement: Measurement) -> None:
    x = near(measurement, 101)
    there, back, nothing = (measurement.residual(factor * x) for factor in (1, -1, 0))
    if there is None or back is None or nothing is None:
        return
    data, states = measurement.forward(x), measurement.sampled()
    if bool((states == OUTSIDE).any()):
        data = data * (states == MEASURED).unsqueeze(-3)
    samples = torch.view_as_real(data).flatten(1)
    expected = samples.square().sum(1) / (samples.abs() > 1e-5).sum(1)
    torch.testing.assert_close((there.square() + back.square()) / 2 - nothing.square(), expected, atol=1e-4, rtol=0.03)


def test_the_prior_mean_is_of_the_size_and_at_the_place_of_what_was_measured(measurement: Measurement, case) -> None:
    _, seed, size = case
    mean = measurement.prior_mean()
    found, nothing = measurement.residual(mean), measurement.residual(0 * mean)
    if found is None or nothing is None:
        image = normal((BATCH, *size), seed)
        assert float((mean - image).norm()) < 0.3 * float(image.norm())
        return
    assert bool((found < (1e-4 if measurement.exact else 0.9) * nothing).all())
    for axis in (-2, -1):
        for shift in (-1, 1):
            moved = measurement.residual(mean.roll(shift, axis))
            assert moved is not None and bool((found < 0.95 * moved).all())


def test_mirrored_twice_and_turned_twice_is_itself(measurement: Measurement) -> None:
    for axes in AXES:
        twice = measurement.mirrored(axes).mirrored(axes)
        assert torch.equal(twice.prior_mean(), measurement.prior_mean())
    torch.testing.assert_close(measurement.turned().turned().prior_mean(), measurement.prior_mean(), atol=1e-5, rtol=1e-4)
    assert set(measurement.turned().masked_axes) == {-3 - axis for axis in measurement.masked_axes}


def test_agreement_is_the_same_in_every_view(measurement: Measurement) -> None:
    x = near(measurement, 101)
    for view in SYMMETRIES:
        assert torch.equal(view.undone(view.of(x)), x)
        mirrored = measurement.mirrored(view.axes)
        there = (mirrored.turned() if view.turned else mirrored).agree(view.of(x))
        torch.testing.assert_close(view.undone(there), measurement.agree(x), atol=1e-4, rtol=1e-3)


def test_the_draws_of_measurements_alike_along_both_axes_see_eight_different_images(measurement: Measurement) -> None:
    mean = measurement.prior_mean()
    views = [view_of(measurement, draw) for draw in range(8)]
    seen = {view.of(mean).resolve_conj().numpy().tobytes() for view in views}
    one_axis = len(measurement.masked_axes) == 1
    assert views[0] == View() and len(seen) == (4 if one_axis else 8) and any(view.turned for view in views) != one_axis


def test_withheld_and_kept_make_up_the_whole(measurement: Measurement) -> None:
    for fold in range(4):
        parts = measurement.withhold(fold)
        if parts is None:
            continue
        states = [part.sampled() == MEASURED for part in parts]
        assert not bool((states[0] & states[1]).any()) and torch.equal(states[0] | states[1], measurement.sampled() == MEASURED)
        total = parts[0].prior_mean() + parts[1].prior_mean()
        torch.testing.assert_close(total, measurement.prior_mean(), atol=1e-5, rtol=1e-4)


def test_a_batch_of_three_equals_three_of_one(measurement: Measurement) -> None:
    x = near(measurement, 101)
    assert len(measurement) == BATCH
    for index in range(BATCH):
        one, estimate = measurement[index], x[index : index + 1]
        assert len(one) == 1 and one.masked_axes == measurement.masked_axes
        for ask in (
            lambda m, e: m.prior_mean(),
            lambda m, e: m.agree(e),
            lambda m, e: m.conclude(e, 0.1),
            lambda m, e: m.residual(e),
            lambda m, e: m.phase(),
            lambda m, e: m.sampled_fraction(),
        ):
            alone, together = ask(one, estimate), ask(measurement, x)
            assert (alone is None) == (together is None)
            if alone is not None:
                torch.testing.assert_close(alone[0], together[index], atol=1e-5, rtol=1e-4)
    again = measurement[1].repeated(2)
    torch.testing.assert_close(again.prior_mean()[1:], measurement.prior_mean()[1:2], atol=1e-5, rtol=1e-4)


def test_networks_answer_a_batch_of_three_as_three_of_one(measurement: Measurement) -> None:
    torch.manual_seed(0)
    network = Denoiser("consistent", {"blocks": 2, "features": 8, "embedding": 16, "foretell": True}).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
        together = network.at_the_end(measurement)
        for index in range(BATCH):
            alone = network.at_the_end(measurement[index])
            torch.testing.assert_close(alone.images[-1][0], together.images[-1][index], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize("coils", [1, 3])
def test_what_was_not_encoded_is_neither_measured_nor_missing(axis: int, coils: int) -> None:
    kspace = normal((1, coils, 16, 20), 3)
    outside = torch.zeros(1, 1, 20, dtype=torch.bool)
    outside[..., :4] = outside[..., 17:] = True
    kspace = kspace * ~outside[:, None]
    lines = torch.arange(20 if axis == -1 else 16) % 2 == 0
    maps = None if coils == 1 else torch.full((1, coils, 16, 20), coils**-0.5, dtype=torch.complex64)
    for mask in (lines, lines | (outside.flatten() if axis == -1 else lines)):
        measurement = Cartesian(kspace, mask[None, None] if axis == -1 else mask[None, :, None], maps, outside)
        state = measurement.sampled().expand(1, 16, 20)
        assert bool((state[outside.expand(1, 16, 20)] == OUTSIDE).all()) and measurement.masked_axes == (axis,)
        counts = [int((state == kind).sum()) for kind in (MEASURED, MISSING)]
        assert float(measurement.sampled_fraction()) == pytest.approx(counts[0] / sum(counts))
        after = measurement.forward(measurement.agree(normal((1, 16, 20), 4)))
        assert float(after[outside[:, None].expand_as(after)].abs().max()) < (1e-5 if coils == 1 else 0.05)
        for fold in range(4):
            parts = measurement.withhold(fold)
            assert parts is None or not bool(
                (parts[1].sampled().expand(1, 16, 20)[outside.expand(1, 16, 20)] == MEASURED).any()
            )
