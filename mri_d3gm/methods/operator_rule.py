"""What super-resolution takes for known of a volume, by a rule on what its held-out k-space says (`held_out`)."""

from typing import NamedTuple

import numpy as np

from mri_d3gm.methods.held_out import HeldOut

TINY = 1e-12
ROUNDINGS = 1e-10  # mean square of an error, of that of the largest voxel, up to which it is of float32 alone
OPERATORS = ("truncation", "unknown")  # in the order of `HeldOut.gain`
SURE, HALF, CERTAIN = 0.1, 0.5, 0.9  # part of `unknown`: up to SURE no draw, from CERTAIN on all, of one draw from HALF on
NOTHING = 10**-4.2  # missing is nothing to speak of: less than 1 % of the largest voxel
MAYBE = 0.2  # part of `unknown` up to which, where nothing is missing, interpolation stands alone
SUBSAMPLED, APART = 0.75, 3.3  # least share where the background is that much quieter on voxels; truncated ones: 2.7 at most
NOISY, SMOOTHED = 7e-4, 0.4  # mean square of a background, of the 99th percentile, and least share: `unknown` takes noise out
RULE = np.array([-1.842, -0.962, -1.574, -0.218, 0.829, 0.443, -1.172, 0.213])  # by scripts/operator_rule.py; last the constant


class Choice(NamedTuple):
    """truncation or unknown; doubt where both have a part, that of draws which assume nothing, else 0; weight of
    the network's image, beside which the best interpolation of that operator stands; the in-plane matrix that was measured,
    None if it is the image's own; withheld, by `withheld_error`, None where nothing was tested.
    """

    operator: str
    doubt: float = 0.0
    weight: float = 1.0
    matrix: tuple[int, int] | None = None
    withheld: float | None = None

    @property
    def likelier(self) -> str:
        """The operator, where it is in doubt the one that has the larger part."""
        return "unknown" if self.operator == "unknown" or self.doubt >= HALF else "truncation"

    @property
    def rest(self) -> str:
        """The interpolation that stands beside the network's image."""
        return "sinc" if self.likelier == "truncation" else "cubic"


def features(held: HeldOut) -> np.ndarray:
    """(7,) of order one: how much more k-space there is than was predicted from 0.65 to 0.8 of the way to its border; how its
    power falls from ring to ring, three times; the background between voxels over that on them; the background, which is noise
    and ringing; how much of a blind sharpening of the image made smaller was right.
    """
    predicted, measured = held.power + TINY
    excess = np.log(measured / predicted)[2].clip(-2, 5)
    density = np.log(measured / held.samples.clip(1))
    between, on = held.background[0] / held.slices + 1e-6
    along, energy, _ = held.gain[1]
    rings = np.log(between / on).clip(-1, 4), np.log(on) / 3
    return np.array([excess, *np.diff(density)[:3].clip(-5, 1), *rings, np.clip(along / (energy + TINY), -1, 3)])


def missing(held: HeldOut) -> float:
    """Mean square of what truncation left out, over that of the largest voxel, if k-space goes on as in the last of its rings:
    within 4 dB of the error of zero-filling.
    """
    return float(held.power[1, -1] / max(held.samples[-1], 1) / (held.peak / held.slices + TINY))


def unknown_share(values: np.ndarray, rule: np.ndarray = RULE) -> float:
    """Part in [0, 1], by `features`, that an image which takes nothing for known should have beside one by truncation."""
    return float(1 / (1 + np.exp(-values @ rule[:-1] - rule[-1])))


def sampled(held: HeldOut) -> bool:
    """Whether most of the background is quieter on voxels than between them, as sampling leaves it, and no truncation."""
    between, on = held.background[1] / held.slices + 1e-6
    return bool(between > APART * on)


def helped(held: HeldOut, operator: str) -> float:
    """Weight in [0, 1] of the network's image, by what it made of the image made smaller once more: 1 where it is nearer to the
    image than interpolation is, as `trust.weights_of_bands` has it.
    """
    along, energy, _ = held.gain[OPERATORS.index(operator)]
    return float(np.clip(2 * along / energy, 0, 1) ** 2) if energy > 0 else 1.0


def withheld_error(held: HeldOut, operator: str) -> float | None:
    """What the network missed of the image made smaller once more, over what interpolation missed: squares of the errors. 0 is
    perfect, 1 no better than interpolation; None where interpolation missed nothing but roundings.
    """
    along, energy, missed = held.gain[OPERATORS.index(operator)]
    roundings = ROUNDINGS * held.peak / held.slices * held.samples.sum()
    return float((missed - 2 * along + energy) / missed) if missed > roundings else None


def chosen(held: HeldOut, several: bool) -> Choice:
    """The choice for a volume; several: whether there are draws to be shared."""
    share = max(unknown_share(features(held)), SUBSAMPLED if sampled(held) else 0.0)
    operator, likelier = ("truncation" if share < limit else "unknown" for limit in (CERTAIN if several else HALF, HALF))
    found = Choice(operator, 0.0, helped(held, likelier), withheld=withheld_error(held, likelier))
    if share <= MAYBE and missing(held) < NOTHING:
        return found._replace(weight=0.0)
    if not several or operator == "unknown":
        return found
    noisy = held.background[0, 1] > NOISY * held.slices
    share = max(share, SMOOTHED) if noisy else share
    return found._replace(doubt=share if share > SURE else 0.0)
