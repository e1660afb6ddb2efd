"""Makes images of heads that differ in size, place and content, and k-space of them with coils, phase and noise."""

import numpy as np


def head(rows: int = 96, cols: int = 80, seed: int = 0, height: float = 0.0) -> np.ndarray:
    """(rows, cols) magnitudes with soft edges: a skull off the centre, a brain, what lies in it; height: -1 to 1, the slice."""
    random = np.random.default_rng(seed)
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, cols), indexing="ij")
    y, x = y - random.uniform(-0.1, 0.1), x - random.uniform(-0.1, 0.1)
    size = np.sqrt(1 - 0.9 * height**2)

    def ellipse(top: float, left: float, tall: float, wide: float) -> np.ndarray:
        distance = np.hypot((y - top) / (tall * size), (x - left) / (wide * size))
        return 1 / (1 + np.exp(np.clip(25 * (distance - 1), -60, 60)))

    image = 3.5 * ellipse(0, 0, 0.8, 0.7) - 3 * ellipse(0, 0, 0.73, 0.63) + 1.8 * ellipse(0, 0, 0.66, 0.56)
    for _ in range(10):
        top, left = random.uniform(-0.45, 0.45, 2)
        image = image + random.uniform(-0.7, 1.1) * ellipse(top + 0.2 * height, left, *random.uniform(0.03, 0.15, 2))
    return image.clip(0)


def phase(rows: int, cols: int, seed: int = 0, echo: float = 0.0) -> np.ndarray:
    """(rows, cols) complex of modulus 1, smooth; echo: samples by which it is off the centre along rows."""
    random = np.random.default_rng(100 + seed)
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, cols), indexing="ij")
    a, b, c, d = random.normal(size=4)
    return np.exp(1j * (a + 0.6 * (b * x + c * y) + 0.6 * d * x * y + np.pi * echo * y))


def coils(count: int, rows: int = 96, cols: int = 80, seed: int = 0) -> np.ndarray:
    """Sensitivities (count, rows, cols) complex with a root of the sum of squares of 1; ones of a single coil."""
    if count == 1:
        return np.ones((1, rows, cols))
    random = np.random.default_rng(200 + seed)
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, cols), indexing="ij")
    angles = 2 * np.pi * np.arange(count)[:, None, None] / count + random.normal(0, 0.1, (count, 1, 1))
    maps = np.exp(-((y - np.sin(angles)) ** 2 + (x - np.cos(angles)) ** 2) / 2)
    maps = maps * np.exp(1j * (random.uniform(0, 6, (count, 1, 1)) + 0.5 * x * np.cos(angles)))
    return maps / np.linalg.norm(maps, axis=0)


def fft2c(image: np.ndarray) -> np.ndarray:
    """Centred orthonormal FFT along the last two axes."""
    shifted = np.fft.fft2(np.fft.ifftshift(image, axes=(-2, -1)), norm="ortho")
    return np.fft.fftshift(shifted, axes=(-2, -1))


def ifft2c(kspace: np.ndarray) -> np.ndarray:
    """Its inverse."""
    shifted = np.fft.ifft2(np.fft.ifftshift(kspace, axes=(-2, -1)), norm="ortho")
    return np.fft.fftshift(shifted, axes=(-2, -1))


def kspace_of(images: np.ndarray, count: int = 1, noise: float = 0.02, seed: int = 0, echo: float = 0.0) -> np.ndarray:
    """K-space (..., count, rows, cols) complex64 of magnitudes (..., rows, cols)."""
    rows, cols = images.shape[-2:]
    kspace = fft2c(images[..., None, :, :] * phase(rows, cols, seed, echo) * coils(count, rows, cols, seed))
    draws = np.random.default_rng(300 + seed).normal(0, noise, (2, *kspace.shape))
    return (kspace + draws[0] + 1j * draws[1]).astype(np.complex64)


def every(cols: int, accel: int = 4, centre: int = 12, offset: int = 0) -> np.ndarray:
    """Every accel-th line and the centre, (cols,) bool."""
    place = np.arange(cols)
    return (place % accel == offset) | ((place >= cols // 2 - centre // 2) & (place < cols // 2 + (centre + 1) // 2))
