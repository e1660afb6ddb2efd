"""Receive coils: whitening by a noise scan, and coils that hold no signal."""

from typing import NamedTuple

import numpy as np

from mri_d3gm.io.raw.readouts import Readouts

CHANCE = 2.0  # how many times the strongest sample that noise is likely to have may be that of noise
LINES = 32  # readouts from the centre, and as many from everywhere, that are looked at, besides one of each slice


class Receivers(NamedTuple):
    """The coils that are used: matrix (used, coils) that whitens them, deviation of the noise in each real and imaginary part
    thereafter (None where unknown), and what to say of them.
    """

    matrix: np.ndarray
    sigma: float | None
    warnings: tuple[str, ...] = ()

    @property
    def used(self) -> int:
        """Coils that are used."""
        return len(self.matrix)

    @property
    def changed(self) -> bool:
        """Whether they are other than the file's coils."""
        return not np.array_equal(self.matrix, np.eye(self.matrix.shape[1]))

    def white(self, data: np.ndarray) -> np.ndarray:
        """Readouts (count, coils, samples) of the coils that are used, with white noise, complex64."""
        return (self.matrix @ data).astype(np.complex64)


def receivers(
    readouts: Readouts, data: np.ndarray, central: np.ndarray, bandwidth: float, heard: np.ndarray | None = None
) -> Receivers:
    """Receivers of readouts, of which `data`, (n,) bool, are for images; central: numbers of these, from the centre of k-space
    out; bandwidth: the part of the noise scan's that noise fills; heard: (coils,) bool, those that held signal before.

    The noise scan's covariance is scaled by the dwell times of both: noise power goes with the receiver's bandwidth, and the
    noise scan's mean falls short of it where its band is not filled (Kellman and McVeigh, Magn Reson Med 2005). Whitened coils
    keep the mean deviation of all (Pruessmann et al., Magn Reson Med 2001).
    """
    same = central[readouts.samples[central] == readouts.samples[central[0]]]
    of_slices = same[np.unique(readouts.slice[same], return_index=True)[1]]
    everywhere = same[np.linspace(0, len(same) - 1, LINES).astype(int)]
    lines = readouts.load(np.unique(np.concatenate([same[:LINES], of_slices, everywhere])))
    used = coils_with_signal(np.square(np.abs(lines), dtype=np.float64).transpose(1, 0, 2).reshape(lines.shape[1], -1))
    used = used if heard is None or len(heard) != len(used) else used | heard
    said = [] if used.all() else [f"{named_coils(~used)} without signal and left out"]
    noise = _noise(readouts)
    if noise is None:
        if readouts.noise.any():
            said.append("the noise scan is too short or damaged and is not used")
        return Receivers(np.eye(len(used), dtype=np.complex64)[used], None, tuple(said))
    power = np.square(np.abs(noise)).mean(1)
    silent = used & ~(power > 1e-12 * power.max())
    if silent.any():
        said.append(f"{named_coils(silent)} silent in the noise scan and left out")
        used &= ~silent
    covariance = noise[used] @ noise[used].conj().T / noise.shape[1]
    scale = _dwell_scale(readouts, data, bandwidth)
    if scale is None:
        said.append("dwell times are not in the file: the noise scan whitens the coils, the level is estimated from the image")
    sigma = float(np.sqrt(np.trace(covariance).real / len(covariance) / 2))
    inverse = np.linalg.inv(np.linalg.cholesky(covariance + 1e-9 * np.trace(covariance).real * np.eye(len(covariance))))
    matrix = np.zeros((len(inverse), len(used)), np.complex64)
    matrix[:, used] = inverse * sigma * np.sqrt(2)
    return Receivers(matrix, None if scale is None else sigma * scale, tuple(said))


def _noise(readouts: Readouts) -> np.ndarray | None:
    """All samples of the noise scan, (coils, samples) complex128, or None."""
    numbers = np.flatnonzero(readouts.noise)
    parts = [readouts.load(numbers[index : index + 1])[0] for index in range(len(numbers))]
    samples = np.concatenate(parts, 1).astype(np.complex128) if parts else np.zeros((0, 0))
    if samples.shape[1] < 2 * len(samples) or not np.isfinite(samples).all() or not samples.any():
        return None
    return samples


def _dwell_scale(readouts: Readouts, data: np.ndarray, bandwidth: float) -> float | None:
    """Deviation of the noise of images over that of the noise scan, None where dwell times are unknown."""
    noise, image = (float(np.median(readouts.dwell[which])) for which in (readouts.noise, data))
    known = noise > 0 and image > 0 and 0 < bandwidth <= 1
    return (noise / image / bandwidth) ** 0.5 if known else None


def coils_with_signal(power: np.ndarray) -> np.ndarray:
    """`has_signal`, but all coils that are not silent where none has any, so that some remain."""
    signal = has_signal(power)
    return signal if signal.any() else power.max(1) > 0


def has_signal(power: np.ndarray) -> np.ndarray:
    """Which coils hold signal, (coils,) bool, of the power of their samples, (coils, samples), the centre's among them.

    Signal is strong in few samples. Of noise the strongest of n samples is ln(n) / ln(2) times the median, but for chance.
    """
    peak, typical = power.max(1), np.array([np.median(one[one > 0]) if one.any() else 0.0 for one in power])
    return peak > CHANCE * np.log(power.shape[1]) / np.log(2) * typical


def named_coils(chosen: np.ndarray) -> str:
    """Coil 3 is, or coils 1, 3 are; counted from 1."""
    numbers = ", ".join(str(number + 1) for number in np.flatnonzero(chosen))
    return f"coils {numbers} are" if chosen.sum() > 1 else f"coil {numbers} is"
