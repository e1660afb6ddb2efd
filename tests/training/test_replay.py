from functools import partial

import pytest
import torch
from scans import phantom
from torch.utils._python_dispatch import TorchDispatchMode

from mri_d3gm.physics.measurement import Measurement
from mri_d3gm.training.coils import maps_of_band
from mri_d3gm.training.engine import Trainer
from mri_d3gm.training.grow import seeded_denoiser
from mri_d3gm.training.replay import Replayed
from mri_d3gm.training.simulate import Case, draw_scene, measure
from mri_d3gm.training.sources import Example

SLICES = [Example(torch.from_numpy(image).float() / 3, 1.0, str(index)) for index, image in enumerate(phantom(3, 80, 70))]
SMALL = partial(draw_scene, batch=2, rows=16, cols=48, crop=24)


def step(device: str):
    """A trainer's step on `device`, its trainer, and the inputs that a case becomes."""
    options = {"blocks": 2, "features": 8, "embedding": 16, "deep": True, "foretell": True}
    trainer = Trainer(seeded_denoiser(0, options=options).to(device), SLICES, [], "", SMALL, device=device)
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


def test_a_step_reads_nothing_back_from_its_device() -> None:
    run, _, inputs = step("meta")
    for seed in range(12):
        case = SMALL(SLICES, seed).on("cpu").on("meta")
        assert run(*inputs(case)).device.type == "meta"


class Waiting(TorchDispatchMode):
    """Refuses what makes a host wait for its device: numbers read back, and shapes that depend on data."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func.overloadpacket not in (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero), func
        return func(*args, **(kwargs or {}))


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
