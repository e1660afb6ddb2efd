"""Coil sensitivity maps from the centre of k-space: ESPIRiT with a rectangular calibration region, or low resolution."""

import torch
from torch import Tensor

from mri_d3gm.physics.fft import ifft2c
from mri_d3gm.physics.masks import center_lines
from mri_d3gm.physics.phase import centre_window

MINIMUM_LINES = 8
CROP = 0.6  # 0.8 cuts into the anatomy when the centre has few lines
SQUARINGS = 2  # of the pointwise operator, before power iterations: 4 iterations at the price of one
OPERATOR_ENTRIES = 2**20  # complex numbers of the pointwise operator that are held at once


def normalised(maps: Tensor) -> Tensor:
    """S^H S = 1 where any coil sees anything; coils third from last."""
    size = torch.linalg.vector_norm(maps, dim=-3, keepdim=True)
    return torch.where(size > 1e-12, maps / size.clamp_min(1e-12), torch.zeros_like(maps))


def low_resolution_maps(kspace: Tensor, mask: Tensor) -> Tensor:
    """Maps (..., coils, rows, cols) from the Hann-windowed centre, phases included; mask (batch, rows | 1, cols | 1)."""
    window = centre_window(mask if mask.ndim == 3 else mask[None], (kspace.shape[-2], kspace.shape[-1]))
    window = window if kspace.ndim == 4 else window[0]
    return normalised(ifft2c(kspace * window.unsqueeze(-3)))


def unexplained(kspace: Tensor, mask: Tensor, coil_maps: Tensor | None) -> Tensor:
    """Share of the energy of the Hann-windowed centre that no image explains through the maps, (batch,); shapes as in
    `operators`.

    0 for one coil. Good maps leave the noise and the object's border, some hundredths; maps of a field of view that wraps
    around leave what is wrapped.
    """
    if coil_maps is None:
        return torch.zeros(len(kspace), device=kspace.device)
    images = ifft2c(kspace * centre_window(mask, (kspace.shape[-2], kspace.shape[-1])).unsqueeze(-3))
    left = images - coil_maps * (coil_maps.conj() * images).sum(-3, keepdim=True)
    energy, whole = (part.abs().square().sum((-3, -2, -1)) for part in (left, images))
    return energy / whole.clamp_min(torch.finfo(whole.dtype).tiny)


def smooth_coil_maps(numbers: Tensor, rows: int, cols: int) -> Tensor:
    """Synthetic sensitivities S^H S = 1, (batch, coils, rows, cols), from six numbers a coil, (batch, coils, 6): its place
    (down, across; the field of view reaches from -1 to 1), the height of the field of view, falloff, phase and slope.
    """
    y, x = (torch.linspace(-1, 1, count, device=numbers.device) for count in (rows, cols))
    y = y[:, None]
    top, left, height, falloff, phase, slope = (number[..., None, None] for number in numbers.unbind(-1))
    dy, dx = height * y - top, x - left
    return normalised(torch.polar((dy**2 + dx**2 + 0.1) ** -falloff, torch.atan2(dx, -dy) + phase + x * slope))


def central(kspace: Tensor, calibration: tuple[int, int]) -> Tensor:
    """The centre of k-space (coils, rows, cols), `calibration` (rows, cols) of it."""
    (rows, cols), (height, width) = kspace.shape[1:], calibration
    top, left = rows // 2 - height // 2, cols // 2 - width // 2
    return kspace[:, top : top + height, left : left + width]


def espirit(
    kspace: Tensor,
    calibration: tuple[int, int],
    kernel: tuple[int, int] = (6, 6),
    threshold: float = 0.02,
    crop: float = CROP,
    iterations: int = 6,
) -> Tensor:
    """Sensitivity maps (coils, rows, cols) complex64, S^H S = 1 where the eigenvalue is above `crop`, else 0.

    kspace (coils, rows, cols) with a fully sampled centre of at least `calibration` (rows, cols); kernels are shrunk to
    fit it. Phases are relative to the strongest virtual coil (Uecker et al., Magn Reson Med 2014).
    """
    coils, rows, cols = kspace.shape
    centre = central(kspace, calibration)
    centre = centre / centre.abs().max()
    kh, kw = (min(size, max(3, extent // 2)) for size, extent in zip(kernel, calibration, strict=True))
    patches = centre.unfold(1, kh, 1).unfold(2, kw, 1).permute(1, 2, 0, 3, 4).reshape(-1, coils * kh * kw)
    gram = patches.mH @ patches
    values, vectors = torch.linalg.eigh(gram)
    kept = values.clamp_min(0).sqrt() > threshold * values[-1].clamp_min(0).sqrt()
    kernels = vectors[:, kept].T.reshape(-1, coils, kh, kw)
    maps, eigenvalue = _leading_eigenvectors(kernels, rows, cols, iterations)
    reference = torch.linalg.eigh(torch.einsum("ahw,bhw->ab", centre, centre.conj()))[1][:, -1]
    phase = torch.einsum("c,chw->hw", reference.conj(), maps)
    maps = maps * torch.where(phase.abs() > 1e-12, phase.conj() / phase.abs().clamp_min(1e-12), torch.ones_like(phase))
    return torch.where(eigenvalue > crop, maps, torch.zeros_like(maps))


def _leading_eigenvectors(kernels: Tensor, rows: int, cols: int, iterations: int) -> tuple[Tensor, Tensor]:
    """Maps (coils, rows, cols) of the pointwise operator and their eigenvalues (rows, cols), by power iteration.

    The kernels' correlations are summed in k-space, where they are small; a few rows at a time are transformed.
    """
    count, coils, kh, kw = kernels.shape
    spectrum = torch.fft.fft2(kernels, (2 * kh - 1, 2 * kw - 1))
    product = torch.einsum("nahw,nbhw->abhw", spectrum.conj(), spectrum)
    correlation = torch.fft.fftshift(torch.fft.ifft2(product), dim=(-2, -1)) / (kh * kw)
    along_cols = torch.einsum("abpq,cq->pcab", correlation, _waves(cols, kw, kernels)).reshape(2 * kh - 1, -1)
    waves = _waves(rows, kh, kernels)
    maps = kernels.new_empty(rows, cols, coils)
    eigenvalue = kernels.new_empty(rows, cols, dtype=torch.float32)
    step = max(1, OPERATOR_ENTRIES // (cols * coils**2))
    for first in range(0, rows, step):
        operator = (waves[first : first + step] @ along_cols).reshape(-1, coils, coils)
        for _ in range(SQUARINGS):
            operator = operator @ operator
        vector = operator.new_ones(len(operator), coils, 1) / coils**0.5
        for _ in range(iterations):
            vector = operator @ vector
            size = torch.linalg.vector_norm(vector, dim=1, keepdim=True)
            vector = vector / size.clamp_min(1e-20)
        maps[first : first + step] = vector.reshape(-1, cols, coils)
        eigenvalue[first : first + step] = size.reshape(-1, cols) ** (0.5**SQUARINGS)
    return maps.permute(2, 0, 1).contiguous(), eigenvalue


def _waves(size: int, kernel: int, like: Tensor) -> Tensor:
    """Centred Fourier matrix (size, 2 kernel - 1) from lags to positions."""
    place = torch.arange(size, device=like.device) - size // 2
    lag = torch.arange(1 - kernel, kernel, device=like.device)
    angle = -2 * torch.pi / size * (place[:, None] * lag)
    return torch.polar(torch.ones_like(angle), angle).to(like.dtype)


def estimate_coil_maps(kspace: Tensor, mask: Tensor, crop: float = CROP) -> tuple[Tensor, str]:
    """Maps (coils, rows, cols) of undersampled kspace and how they were made: espirit, or low-resolution.

    mask (rows | 1, cols | 1), crop as in `espirit`. Fewer than eight centre lines show too little for ESPIRiT; an
    empty centre shows nothing.
    """
    full = mask.expand(kspace.shape[-2:]).cpu().numpy()
    height, width = center_lines(full)
    calibration = min(height, 64), min(width, 64)
    if min(calibration) >= 24:
        calibration = min(calibration[0], 24), min(calibration[1], 24)
    if min(calibration) < MINIMUM_LINES or not bool(central(kspace, calibration).any()):
        return low_resolution_maps(kspace, mask), "low-resolution"
    return espirit(kspace, calibration, crop=crop), "espirit"
