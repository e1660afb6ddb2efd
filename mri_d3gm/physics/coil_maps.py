"""Coil sensitivity maps from the centre of k-space: ESPIRiT with a rectangular calibration region, or low resolution."""

from typing import NamedTuple

import torch
from torch import Tensor

from mri_d3gm.io.sampling import central_block
from mri_d3gm.physics.fft import fft2c, ifft2c
from mri_d3gm.physics.phase import centre_window

MINIMUM_LINES = 3
ENOUGH_LINES, MOST_LINES = 24, 64  # of the centre: used along both axes where both have as many, and along one at most
KERNEL = 6  # samples along each side, of the calibration
SHORT = 2 * KERNEL  # lines of the centre below which kernels are smaller
THRESHOLD = 0.02  # of the greatest singular value, above which a kernel counts
CROP = 0.6  # 0.8 cuts into the anatomy when the centre has few lines
SECOND_CROP = 0.8  # of the second set, which errors of the first one would fill otherwise
WRAPPED = 0.0008  # share of the centre's energy from which on a second set is needed
ITERATIONS = 6  # of the power iteration
SQUARINGS = 2  # of the pointwise operator, before power iterations: 4 iterations at the price of one
SMOOTH_LINES = 6  # of k-space, that maps are made of to hold given ones against
NOISE_ALONE = 0.5  # share of the centre that they explain below which noise hides what given maps are
USABLE, DOUBTFUL, CONTRADICTED, FITTING = 0.75, 0.6, 0.4, 0.9  # of that share
ALL_ALIKE = 0.97  # share of the energy of maps in what they have in common
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


def explained(kspace: Tensor, mask: Tensor, coil_maps: Tensor | None) -> Tensor:
    """Share of the energy of the Hann-windowed centre that an image explains through the maps, (batch,); shapes as in
    `operators`.

    1 for one coil. Good maps leave the noise and the object's border, some hundredths; one set of maps of a field of view that
    wraps around leaves what is wrapped.
    """
    if coil_maps is None:
        return torch.ones(len(kspace), device=kspace.device)
    images = ifft2c(kspace * centre_window(mask, (kspace.shape[-2], kspace.shape[-1])).unsqueeze(-3))
    within = (coil_maps.conj() * images).sum(-3)
    energy, whole = (part.abs().square().flatten(1).sum(1) for part in (within, images))
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


def calibrating(kspace: Tensor, calibration: tuple[int, int], corner: tuple[int, int] | None = None) -> Tensor:
    """`calibration` (rows, cols) of k-space (..., rows, cols) from a corner (row, col) on; around the centre without one."""
    (height, width), sizes = calibration, kspace.shape[-2:]
    top, left = corner or (n // 2 - few // 2 for n, few in zip(sizes, calibration, strict=True))
    return kspace[..., top : top + height, left : left + width]


def espirit(
    kspace: Tensor,
    calibration: tuple[int, int],
    *,
    corner: tuple[int, int] | None = None,
    crop: float = CROP,
    sets: int = 1,
) -> Tensor:
    """Sensitivity maps (sets, coils, rows, cols) complex64.

    The first set has S^H S = 1 where the eigenvalue is above `crop`, else 0; further ones the share of the eigenvalue above 0.8
    of what is left to 1: they are empty where one set explains the data.

    kspace (coils, rows, cols) with a fully sampled block of at least `calibration` (rows, cols), as `calibrating` cuts it;
    kernels are shrunk to fit it. Phases are relative to the strongest virtual coil (Uecker et al., Magn Reson Med 2014).
    """
    coils, rows, cols = kspace.shape
    centre = calibrating(kspace, calibration, corner)
    centre = centre / centre.abs().max()
    kh, kw = (min(KERNEL, max(3, extent // 2)) for extent in calibration)
    patches = centre.unfold(1, kh, 1).unfold(2, kw, 1).permute(1, 2, 0, 3, 4).reshape(-1, coils * kh * kw)
    gram = patches.mH @ patches
    values, vectors = torch.linalg.eigh(gram)
    kept = values.clamp_min(0).sqrt() > THRESHOLD * values[-1].clamp_min(0).sqrt()
    kernels = vectors[:, kept].T.reshape(-1, coils, kh, kw)
    maps, eigenvalue = _leading_eigenvectors(kernels, rows, cols, sets)
    reference = torch.linalg.eigh(torch.einsum("ahw,bhw->ab", centre, centre.conj()))[1][:, -1]
    phase = torch.einsum("c,schw->shw", reference.conj(), maps)
    maps = maps * torch.polar(torch.ones_like(phase.real), -phase.angle())[:, None]
    share = ((eigenvalue - SECOND_CROP) / (1 - SECOND_CROP)).clamp(0, 1).sqrt()
    share[0] = eigenvalue[0] > crop
    return maps * share[:, None]


def _leading_eigenvectors(kernels: Tensor, rows: int, cols: int, sets: int) -> tuple[Tensor, Tensor]:
    """Maps (sets, coils, rows, cols) of the pointwise operator and their eigenvalues (sets, rows, cols), by power iteration.

    The kernels' correlations are summed in k-space, where they are small; a few rows at a time are transformed.
    """
    count, coils, kh, kw = kernels.shape
    spectrum = torch.fft.fft2(kernels, (2 * kh - 1, 2 * kw - 1))
    product = torch.einsum("nahw,nbhw->abhw", spectrum.conj(), spectrum)
    correlation = torch.fft.fftshift(torch.fft.ifft2(product), dim=(-2, -1)) / (kh * kw)
    along_cols = torch.einsum("abpq,cq->pcab", correlation, waves(cols, kw, kernels)).reshape(2 * kh - 1, -1)
    down = waves(rows, kh, kernels)
    maps = kernels.new_empty(sets, rows, cols, coils)
    eigenvalue = kernels.new_empty(sets, rows, cols, dtype=torch.float32)
    step = max(1, OPERATOR_ENTRIES // (cols * coils**2))
    for first in range(0, rows, step):
        operator = (down[first : first + step] @ along_cols).reshape(-1, coils, coils)
        for _ in range(SQUARINGS):
            operator = operator @ operator
        for number in range(sets):
            vector, size = leading(operator, ITERATIONS)
            maps[number, first : first + step] = vector.reshape(-1, cols, coils)
            eigenvalue[number, first : first + step] = size.reshape(-1, cols) ** (0.5**SQUARINGS)
            operator = operator - size[:, None, None] * vector[..., None] @ vector[:, None].conj()
    return maps.permute(0, 3, 1, 2).contiguous(), eigenvalue


def leading(matrix: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """Eigenvectors (..., n) of the greatest eigenvalue of (..., n, n), and that eigenvalue (...), by power iteration."""
    vector = torch.ones_like(matrix[..., :1]) / matrix.shape[-1] ** 0.5
    for _ in range(iterations):
        vector = matrix @ vector
        size = torch.linalg.vector_norm(vector, dim=-2, keepdim=True)
        vector = vector / size.clamp_min(1e-20)
    return vector[..., 0], size[..., 0, 0]


def waves(size: int, kernel: int, like: Tensor) -> Tensor:
    """Centred Fourier matrix (size, 2 kernel - 1) from lags to positions."""
    place = torch.arange(size, device=like.device) - size // 2
    lag = torch.arange(1 - kernel, kernel, device=like.device)
    angle = -2 * torch.pi / size * (place[:, None] * lag)
    return torch.polar(torch.ones_like(angle), angle).to(like.dtype)


class CoilMaps(NamedTuple):
    """Maps (coils, rows, cols) of the first set, how they were made (espirit or low-resolution), and those of a second set
    where the scan needs one: where it wraps around, two places of the object lie in one pixel. maps None: there is one coil.
    short: whether the centre was too small for whole kernels of ESPIRiT (`too_small`). fit: share of the energy of lines apart,
    where the maps are from such, that each set explains.
    """

    maps: Tensor | None
    source: str
    second: Tensor | None = None
    short: bool = False
    fit: tuple[float, ...] = ()


def estimate_coil_maps(kspace: Tensor, mask: Tensor, crop: float = CROP) -> CoilMaps:
    """Maps of undersampled kspace (coils, rows, cols) under a mask (rows | 1, cols | 1); crop as in `espirit`.

    Fewer than three centre lines show too little for ESPIRiT; an empty centre shows nothing.
    """
    full = mask.expand(kspace.shape[-2:]).cpu().numpy()
    block = central_block(full)
    height, width = (end - first for first, end in block)
    calibration = min(height, MOST_LINES), min(width, MOST_LINES)
    short = too_small(calibration, len(kspace))
    if min(calibration) >= ENOUGH_LINES:
        calibration = ENOUGH_LINES, ENOUGH_LINES
    top, left = (within(*run, n, few) for run, n, few in zip(block, full.shape, calibration, strict=True))
    if min(calibration) < MINIMUM_LINES or not bool(calibrating(kspace, calibration, (top, left)).any()):
        return CoilMaps(low_resolution_maps(kspace, mask), "low-resolution")
    maps, second = espirit(kspace, calibration, corner=(top, left), crop=crop, sets=2)
    needed = float(explained(kspace[None], mask[None], second[None])) > WRAPPED
    return CoilMaps(maps, "espirit", second if needed else None, short)


def too_small(calibration: tuple[int, int], coils: int) -> bool:
    """Whether so many rows and columns of the centre are too few for kernels of all coils: for whole ones at all, or for as
    many places of one as it has samples.
    """
    places = [extent - KERNEL + 1 for extent in calibration]
    return min(calibration) < SHORT or places[0] * places[1] < coils * KERNEL**2


def estimate_apart(lines: Tensor) -> CoilMaps:
    """Maps from lines (coils, rows, cols) that were measured for that alone, zero where not measured."""
    mask = lines.abs().amax(0) > 0
    found = estimate_coil_maps(lines, mask)
    sets = [maps for maps in (found.maps, found.second) if maps is not None]
    fit = tuple(float(explained(lines[None], mask[None], maps[None])) for maps in sets)
    return found._replace(short=False, fit=fit)


def within(first: int, end: int, size: int, few: int) -> int:
    """Where `few` of the samples from first to end begin, as near to the centre of `size` samples as they can lie."""
    return min(max(size // 2 - few // 2, first), end - few)


def contradiction(kspace: Tensor, mask: Tensor, coil_maps: Tensor, exchanged: Tensor | None = None) -> str | None:
    """What is wrong with maps (coils, rows, cols) that the fully sampled centre of kspace (coils, rows, cols) contradicts, in
    words; None for maps that may be used, and where the centre holds too much noise to tell.

    They are held against the scan's own maps of low resolution, by the share of the centre's energy that they explain. Maps of
    the same coils and another object explained 0.64 of what the scan's own do or more, shifted by a fifth of the field of view
    0.42 or more; of four or more other coils, or in another order, usually less than 0.3. exchanged: the maps that there would
    be with slices and coils exchanged, where their shape allows for both.
    """
    images = ifft2c(kspace * centre_window(mask[None], (kspace.shape[-2], kspace.shape[-1])))
    images = images / images.abs().max().clamp_min(torch.finfo(images.real.dtype).tiny)
    own = _share(images, _smooth_maps(images))
    found = _share(images, coil_maps)
    if own < NOISE_ALONE or found > USABLE * own:
        return None
    ways = {
        "mirrored along rows": coil_maps.flip(-2),
        "mirrored along columns": coil_maps.flip(-1),
        "mirrored along both axes": coil_maps.flip((-2, -1)),
        "conjugated": coil_maps.conj(),
        "with their halves exchanged": torch.fft.fftshift(coil_maps, dim=(-2, -1)),
    }
    if coil_maps.shape[-2] == coil_maps.shape[-1]:
        ways["transposed"] = coil_maps.mT
    if exchanged is not None:
        ways["with slices and coils exchanged"] = exchanged
    fits = {way: _share(images, maps) for way, maps in ways.items()}
    best = max(fits, key=lambda way: fits[way])
    flat = coil_maps.flatten(1)
    values = torch.linalg.eigvalsh(flat @ flat.mH)
    if fits[best] > FITTING * own:
        cause = f"; {best} they explain {100 * fits[best]:.0f} %"
    elif found < DOUBTFUL * own and float(values[-1]) > ALL_ALIKE * float(values.sum()):
        cause = "; all of them are alike: slices and coils may be exchanged"
    elif found < CONTRADICTED * own:
        cause = f", maps of the scan itself {100 * own:.0f} %: they are of other coils, in another order, or of another scan"
    else:
        return None
    return f"explain only {100 * found:.0f} % of the energy of the centre lines{cause}"


def _share(images: Tensor, coil_maps: Tensor) -> float:
    """Share of the energy of coil images (coils, rows, cols) that maps explain, where they are not zero."""
    there = coil_maps.abs().square().sum(0) > 0.5
    whole = images.abs().square().sum(0)[there].sum()
    within = (coil_maps.conj() * images).sum(0).abs().square()[there].sum()
    return float(within / whole.clamp_min(torch.finfo(whole.dtype).tiny))


def _smooth_maps(images: Tensor) -> Tensor:
    """Maps from coil images (coils, rows, cols), smoother than those."""
    rows, cols = (torch.arange(size, device=images.device) - size // 2 for size in images.shape[-2:])
    window = torch.exp(-((rows / SMOOTH_LINES) ** 2)[:, None] - (cols / SMOOTH_LINES) ** 2)
    return normalised(ifft2c(fft2c(images) * window))
