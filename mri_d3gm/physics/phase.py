"""The image's phase as the scan's own centre lines show it, and reconstruction that trusts it."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from mri_d3gm.io.sampling import lines_of_block
from mri_d3gm.physics.consistency import proximal
from mri_d3gm.physics.fft import ifft2c
from mri_d3gm.physics.operators import combine, forward

SMOOTH, SMOOTH_SHARE, LINES_THAT_TELL = 8, 0.003, 3
ITERATIONS, WEIGHT = 30, 1e-3  # of POCS, and of its image against the data of many coils


def _centre_run(sampled: Tensor) -> Tensor:
    """Length of the run of sampled entries around the centre, (batch,) from (batch, n) bool."""
    n = sampled.shape[-1]
    right = sampled[:, n // 2 :].long().cumprod(-1).sum(-1)
    left = sampled[:, : n // 2].flip(-1).long().cumprod(-1).sum(-1)
    return 2 * torch.minimum(left, right - 1).clamp_min(0) + 1


def centre_window(mask: Tensor, shape: tuple[int, int]) -> Tensor:
    """Hann window over the fully sampled centre, (batch, rows, cols), from a mask that broadcasts to that.

    An axis that is sampled completely through the centre is not windowed.
    """
    full = mask.expand(mask.shape[0], *shape)
    rows, cols = shape

    def hann(line: Tensor) -> Tensor:
        n = line.shape[-1]
        distance = (torch.arange(n, device=mask.device) - n // 2).abs()
        half = (_centre_run(line)[:, None] + 1) / 2
        window = 0.5 + 0.5 * torch.cos(torch.pi * (distance / half).clamp_max(1))
        return torch.where(line.all(-1, keepdim=True), torch.ones_like(window), window)

    return hann(full[:, :, cols // 2])[:, :, None] * hann(full[:, rows // 2, :])[:, None, :]


def low_resolution_phase(kspace: Tensor, mask: Tensor, coil_maps: Tensor | None = None) -> Tensor:
    """Unit-modulus phase factor (batch, rows, cols) from the Hann-windowed centre lines, coils combined."""
    window = centre_window(mask, (kspace.shape[-2], kspace.shape[-1]))
    image = combine(ifft2c(kspace * window.unsqueeze(-3)), coil_maps)
    size = image.abs()
    return torch.where(size > 0, image / size.clamp_min(torch.finfo(size.dtype).tiny), torch.ones_like(image))


def imaginary_share(kspace: Tensor, mask: Tensor, coil_maps: Tensor | None = None) -> Tensor:
    """Share of the image's energy inside the body that is imaginary under the phase that the centre of `mask` shows, (batch,).

    kspace is fully sampled. Inside is where the magnitude, averaged over 5 x 5, is above a tenth of its 99th percentile.
    """
    image = combine(ifft2c(kspace), coil_maps)
    turned = image * low_resolution_phase(kspace * mask.unsqueeze(-3), mask, coil_maps).conj()
    smooth = avg_pool2d(image.abs()[:, None], 5, 1, 2)[:, 0]
    inside = smooth > 0.1 * smooth.flatten(1).quantile(0.99, 1)[:, None, None]
    imaginary, whole = ((part.abs().square() * inside).sum((1, 2)) for part in (turned.imag, turned))
    return imaginary / whole.clamp_min(torch.finfo(whole.dtype).tiny)


def has_smooth_phase(kspace: Tensor, mask: Tensor, coil_maps: Tensor | None, sigma: Tensor) -> Tensor:
    """Whether the centre lines show an image whose phase is smooth, (batch,) bool; of masks of lines, else False.

    Their phase within SMOOTH samples of the centre along the readout, which is sampled completely, is taken from their image.
    It is smooth where that leaves less than SMOOTH_SHARE of the energy inside the body imaginary, besides noise of deviation
    sigma (batch,), and where the centre has LINES_THAT_TELL lines or more. So it is in k-space made from magnitudes, and where
    an echo refocuses what turns the phase.
    """
    if mask.shape[-2] > 1 and mask.shape[-1] > 1:
        found = [one for each in mask.cpu().numpy() if (one := lines_of_block(each)) is not None]
        if len(found) < len(kspace) or len({one.shape for one in found}) > 1:
            return torch.zeros(len(kspace), dtype=torch.bool, device=kspace.device)
        mask = torch.from_numpy(np.stack(found)).to(mask.device)
    if mask.shape[-2] > 1:
        maps = None if coil_maps is None else coil_maps.transpose(-2, -1)
        return has_smooth_phase(kspace.transpose(-2, -1), mask.transpose(-2, -1), maps, sigma)
    rows, cols = kspace.shape[-2:]
    row, col = ((torch.arange(n, device=kspace.device) - n // 2).abs() for n in (rows, cols))
    run = _centre_run(mask[:, 0])
    centre = col < (run[:, None] + 1) / 2
    lines = kspace * centre[:, None, None]
    window = 0.5 + 0.5 * torch.cos(torch.pi * (row / (SMOOTH + 1)).clamp_max(1))
    image, low = (combine(ifft2c(part), coil_maps) for part in (lines, lines * window[:, None]))
    turned, size = image * torch.polar(torch.ones_like(low.abs()), -low.angle()), image.abs()
    inside = size > 0.1 * size.flatten(1).quantile(0.99, 1)[:, None, None]
    imaginary, whole = ((part.square() * inside).sum((1, 2)) for part in (turned.imag, size))
    noise = sigma.square() * centre.float().mean(1) * inside.sum((1, 2))
    return (imaginary - noise < SMOOTH_SHARE * whole) & (run >= LINES_THAT_TELL)


def pocs(kspace: Tensor, mask: Tensor, coil_maps: Tensor | None = None) -> Tensor:
    """Phase-constrained projection onto convex sets: image (batch, rows, cols).

    Each iteration keeps the part of the image that is real and positive under the low-resolution phase, then
    restores the measured samples (Haacke et al., J Magn Reson 1991).
    """
    phase = low_resolution_phase(kspace, mask, coil_maps)
    image = combine(ifft2c(kspace * mask.unsqueeze(-3)), coil_maps)
    for _ in range(ITERATIONS):
        positive = (image * phase.conj()).real.clamp_min(0) * phase
        image = proximal(positive, kspace, mask, coil_maps, WEIGHT)
    return image


def data_residual(image: Tensor, kspace: Tensor, mask: Tensor, coil_maps: Tensor | None = None) -> Tensor:
    """Root mean square of M F S x - y per measured real or imaginary sample, (batch,)."""
    difference = forward(image, mask, coil_maps) - kspace * mask.unsqueeze(-3)
    count = mask.expand(image.shape).sum((-2, -1)) * kspace.shape[-3]
    return (difference.abs().square().sum((-3, -2, -1)) / (2 * count)).sqrt()
