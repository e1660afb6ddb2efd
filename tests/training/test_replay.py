from functools import partial

import pytest
import torch
from networks.test_denoiser import SMALL as NETS
from scans import phantom
from torch.utils._python_dispatch import TorchDispatchMode

from mri_d3gm.dynamics import DYNAMICS
from mri_d3gm.physics import Cartesian, SliceStack, Truncation, Unknown
from mri_d3gm.physics.measurement import Measurement
from mri_d3gm.training.coils import maps_of_band
from mri_d3gm.training.engine import Trainer
from mri_d3gm.training.grow import seeded_denoiser
from mri_d3gm.training.replay import Replayed, kind
from mri_d3gm.training.simulate import Case, draw_scene, measure
from mri_d3gm.training.simulate_resolution import simulate_resolution
from mri_d3gm.training.simulate_restoration import simulate_restoration
from mri_d3gm.training.simulate_slices import simulate_slices
from mri_d3gm.training.sources import Example

SLICES = [Example(torch.from_numpy(image).float() / 3, 1.0, str(index)) for index, image in enumerate(phantom(3, 80, 70))]
SMALL = partial(draw_scene, batch=2, rows=16, cols=48, crop=24)
OTHERS = [partial(simulate_resolution, batch=2, crop=32), partial(simulate_slices, batch=2, crop=32)]
PICTURES = [Example(torch.rand(3, 90, 80, generator=torch.Generator().manual_seed(0)), 1.0, "")]


def photographs(_: object, seed: int) -> Case:
    return simulate_restoration(PICTURES, seed, task="derain", batch=2, crop=32)


def step(device: str, network: str = "consistent", dynamics: str = "d3gm", simulate=SMALL, **options):
    """A trainer's step on `device`, its trainer, and the inputs that a case becomes."""
    denoiser = seeded_denoiser(0, network=network, options=NETS[network] | options, dynamics=dynamics)
    trainer = Trainer(denoiser.to(device), SLICES, [], "", simulate, device=device)
    for parameter in trainer.denoiser.parameters():
        parameter.grad = torch.zeros_like(parameter)

    def inputs(case: Case) -> tuple[torch.Tensor | Measurement, ...]:
        t = torch.full((len(case.mu),), 0.7, dtype=torch.float64, device=device)
        return case.mu, t, case.image, case.image, case.mu, case.measurement

    return partial(trainer._loss, dtype=torch.float32), trainer, inputs


def test_batches_have_few_shapes() -> None:
    scenes = [SMALL(SLICES, seed) for seed in range(300)]
    kinds = {(s.magnitude.shape, s.mask.shape, None if s.mixing is None else s.mixing.shape[1]) for s in scenes}
    assert 10 < len(kinds) <= 25


class Waiting(TorchDispatchMode):
    """Refuses what makes a host wait for its device: numbers read back, and shapes that depend on data."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func.overloadpacket not in (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero), func
        return func(*args, **(kwargs or {}))


class Copying(TorchDispatchMode):
    """Refuses copies from the host to a device, and checks that read what they found; meta tensors refuse all other reading."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.copy_):
            devices = {value.device.type for value in args if isinstance(value, torch.Tensor)}
            assert "cpu" not in devices or torch.device((kwargs or {}).get("device") or "cpu").type == "cpu", func
        assert func.overloadpacket is not torch.ops.aten._linalg_check_errors, func
        return func(*args, **(kwargs or {}))


def waits_for_nothing(seeds, simulate=SMALL, **kind) -> None:
    run, trainer, inputs = step("meta", simulate=simulate, **kind)
    for seed in seeds:
        given = inputs(simulate(SLICES, seed).on("cpu").on("meta"))
        run(*given)
        with Copying() if trainer.replays else pytest.raises(AssertionError), Copying():
            assert run(*given).device.type == "meta"


def test_a_step_reads_nothing_back_from_its_device() -> None:
    waits_for_nothing(range(12))


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_a_step_under_every_dynamics_waits_for_nothing(dynamics: str) -> None:
    waits_for_nothing([0], dynamics=dynamics)


@pytest.mark.parametrize("network", NETS)
def test_a_step_of_every_network_waits_for_nothing(network: str) -> None:
    waits_for_nothing(range(4), photographs if network == "scattering" else SMALL, network=network)


@pytest.mark.parametrize("simulate", OTHERS, ids=lambda simulate: simulate.func.__name__)
def test_a_step_on_cases_of_every_kind_waits_for_nothing(simulate) -> None:
    waits_for_nothing(range(4), simulate)


def test_measuring_reads_nothing_back_from_its_device() -> None:
    kinds = set()
    for seed in range(30):
        scene = SMALL(SLICES, seed)
        with Waiting():
            measure(scene)
        kinds.add("one" if scene.coils is None else scene.maps)
    assert kinds >= {"one", "true", "low-resolution"}
    with Waiting():
        maps_of_band(torch.randn(2, 4, 24, 32, dtype=torch.complex64), (16, 12))
    with pytest.raises(AssertionError), Waiting():
        torch.ones(1).item()


def test_steps_of_one_kind_differ_in_numbers_alone() -> None:
    kspace, mask = torch.zeros(2, 1, 8, 6, dtype=torch.complex64), torch.ones(2, 1, 6, dtype=torch.bool)
    mean = torch.zeros(2, 8, 6, dtype=torch.complex64)
    different = [
        Cartesian(kspace, mask),
        Cartesian(kspace, mask, outside=~mask),
        Cartesian(kspace, mask, rest=mean.real),
        Cartesian(kspace, mask, rest=mean.real.double()),
        Cartesian(kspace, mask, second=mean),
        Truncation(kspace, mask),
        Truncation(kspace, mask, 0.5),
        Unknown(mean),
        Unknown(mean, without_phase=True),
        SliceStack(mean, torch.zeros(2, 6, 9)),
        SliceStack(mean, torch.zeros(2, 6, 9), -2),
        mean,
        mean.to(torch.complex128),
    ]
    assert len({kind((given,)) for given in different}) == len(different)
    assert kind((mean, different[0])) == kind((mean + 1, Cartesian(kspace + 1, ~mask)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_replayed_steps_are_the_steps() -> None:
    run, trainer, inputs = step("cuda")
    replayed = Replayed(run)
    for seed in range(12):
        given = inputs(SMALL(SLICES, seed).on("cuda"))
        answers = []
        for way in (run, replayed):
            loss = way(*given)
            answers.append((loss, torch.cat([p.grad.flatten() for p in trainer.denoiser.parameters()])))  # type: ignore[union-attr]
        torch.testing.assert_close(answers[1], answers[0], rtol=1e-3, atol=1e-5)
    assert 3 < len(replayed.recorded) <= 12
