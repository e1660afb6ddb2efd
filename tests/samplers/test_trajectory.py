"""The reverse process step by step: where it begins, what it passes, where it ends."""

import pytest
import torch
from paths import each_member

from mri_d3gm.dynamics.path import Dynamics
from mri_d3gm.samplers import SOLVERS
from mri_d3gm.samplers.sample import noise_source, sample
from mri_d3gm.samplers.trajectory import trajectory

X0, MU = torch.randn(2, 1, 5, 4, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))


@each_member
@pytest.mark.parametrize("solver", SOLVERS)
def test_it_begins_with_the_start_law_and_ends_with_the_sample(path: Dynamics, solver: str) -> None:
    times, states = trajectory(path, lambda x, t: X0, MU, SOLVERS[solver], 6, [3])
    mean, deviation = path.start()
    assert len(times) == len(states) == 7 and float(times[0]) == path.T and float(times[-1]) == 0
    torch.testing.assert_close(states[0], mean * MU + deviation * noise_source([3], MU.device)(MU))
    assert torch.equal(states[-1], sample(path, lambda x, t: X0, MU, SOLVERS[solver], 6, [3])[0])


@each_member
def test_with_x0_known_the_deterministic_solver_passes_the_tables_states(path: Dynamics) -> None:
    times, states = trajectory(path, lambda x, t: X0, MU, SOLVERS["deterministic"], 8, [3], grid="uniform")
    A, B, s = (c(times) for c in (path.A, path.B, path.s))
    first = 1 if float(s[0]) == 0 else 0
    eps = (states[first] - float(A[first]) * X0 - float(B[first]) * MU) / float(s[first])
    for index in range(first, len(states)):
        expected = float(A[index]) * X0 + float(B[index]) * MU + float(s[index]) * eps
        torch.testing.assert_close(states[index], expected, rtol=1e-4, atol=1e-4)
