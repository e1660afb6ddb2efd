"""A teacher's estimates as targets: of which cases, and what they are."""

from functools import partial

import pytest
import torch
from scans import phantom

from mri_d3gm.errors import InputError
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.weights import save_weights
from mri_d3gm.physics.fft import MIRRORS, mirror
from mri_d3gm.training.engine import Trainer
from mri_d3gm.training.grow import seeded_denoiser
from mri_d3gm.training.phases import draw_phase, is_smooth
from mri_d3gm.training.simulate import simulate
from mri_d3gm.training.sources import Example
from mri_d3gm.training.teacher import target

SLICES = [Example(torch.from_numpy(image).float() / 3, 1.0, str(index)) for index, image in enumerate(phantom(3, 80, 70))]
TINY = {"blocks": 1, "features": 8, "embedding": 16}
PLAIN = {"batch": 4, "rows": 16, "cols": 48, "crop": 24, "many": 0.0, "ghosted": 0.0}


@pytest.fixture
def teacher() -> Denoiser:
    """A network whose last layers are not zero, so that it changes what it is given."""
    network = seeded_denoiser(3, options=TINY).requires_grad_(False)
    for name, parameter in network.named_parameters():
        if ".last." in name:
            parameter.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
    return network


def at(case, t: float) -> torch.Tensor:
    return torch.full((len(case.mu),), t, dtype=torch.float64)


def test_smooth_phases_are_told_from_rough_ones() -> None:
    generators = [torch.Generator().manual_seed(seed) for seed in range(40)]
    assert is_smooth(torch.stack([draw_phase(generator, 0.0) for generator in generators])).all()
    assert not is_smooth(torch.stack([draw_phase(generator, 1.0) for generator in generators])).any()


def test_the_teacher_is_asked_for_simple_cases_at_the_end_alone(teacher: Denoiser) -> None:
    T = float(teacher.path.T)
    mixed = simulate(SLICES, 1, **PLAIN | {"batch": 12}, rough=0.5)
    assert mixed.simple is not None and 0 < mixed.simple.sum() < len(mixed.simple)
    aim = target(mixed, teacher, at(mixed, T), 0)
    taught = (aim != mixed.image).flatten(1).any(1)
    assert torch.equal(taught, mixed.simple)
    for case, t, who in (
        (mixed, T / 2, teacher),
        (mixed, T, None),
        (simulate(SLICES, 1, **PLAIN | {"many": 1.0}), T, teacher),
    ):
        assert torch.equal(target(case, who, at(case, t), 0), case.image)


def test_the_mean_of_four_steps_is_that_of_mirrored_estimates(teacher: Denoiser) -> None:
    case = simulate(SLICES, 2, **PLAIN, rough=0.0)
    t = at(case, float(teacher.path.T))
    aims = torch.stack([target(case, teacher, t, step) for step in range(4)])
    turned = [(case.measurement.mirrored(axes), mirror(case.mu, axes), axes) for axes in MIRRORS]
    estimates = [mirror(teacher.at_the_end(one, mu=mu).images[-1], axes) for one, mu, axes in turned]
    torch.testing.assert_close(aims.mean(0), torch.stack(estimates).mean(0))
    assert not torch.allclose(aims[0], aims[1], atol=1e-4)


def test_a_student_comes_nearer_to_its_teacher(teacher: Denoiser, tmp_path) -> None:
    """From the teacher's own weights, with its last layers lost."""
    save_weights(tmp_path / "teacher.safetensors", teacher, {"steps": 1})
    draws = partial(simulate, **PLAIN, planar=0.0, rough=0.0, accel=4.0)
    case = draws(SLICES, 9)

    def distance(student: Denoiser) -> float:
        aims = [target(case, teacher, at(case, float(teacher.path.T)), step) for step in range(4)]
        with torch.no_grad():
            estimate = student.at_the_end(case.measurement, mu=case.mu).images[-1]
        return float((estimate - sum(aims) / 4).abs().mean())

    student = seeded_denoiser(3, options=TINY)
    before = distance(student)
    settings = {"precision": "float32", "spread_after": 1.0, "steps": 60, "teacher": str(tmp_path / "teacher.safetensors")}
    Trainer(student, SLICES, [], str(tmp_path / "run"), draws, **settings).run()
    assert distance(student) < 0.8 * before
    with pytest.raises(InputError, match="teacher"):
        other = settings | {"teacher": None}
        Trainer(student, SLICES, [], str(tmp_path / "run"), draws, **other).run()
