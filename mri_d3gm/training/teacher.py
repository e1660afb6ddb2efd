"""Earlier weights as a teacher: their estimates stand in for the truth of the cases that they know.

At high acceleration most of a case's truth cannot be known from its measurement; as a target it is noise around the mean that
the network is to find. What a well-trained network says is close to that mean (Hinton et al., arXiv 1503.02531, 2015).
"""

import torch
from torch import Tensor

from mri_d3gm.networks.channels import for_each
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.physics.fft import MIRRORS, mirror
from mri_d3gm.training.simulate import Case


@torch.no_grad()
def target(case: Case, teacher: Denoiser | None, t: Tensor, step: int) -> Tensor:
    """What the estimates of a batch at times t are to be, (batch, rows, cols) complex or (batch, channels, rows, cols) real.

    The truth; for simple cases at T what the teacher makes of them, mirrored differently from step to step, so that the mean
    over its mirrored estimates is learnt.
    """
    if teacher is None or case.simple is None:
        return case.image
    axes = MIRRORS[step % len(MIRRORS)]
    mu = mirror(case.mu, axes)
    estimate = mirror(teacher.at_the_end(case.measurement.mirrored(axes), mu=mu).images[-1], axes)
    known = case.simple & (t == teacher.path.T).to(case.simple.device)
    return torch.where(for_each(known, estimate).bool(), estimate, case.image)
