"""How a volume came to be of low resolution: `--operator auto`."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from mri_d3gm.compute import Map, one_thread
from mri_d3gm.io.bright_voxels import without_bright_voxels, words
from mri_d3gm.io.image import Image, first_frame, slice_axis
from mri_d3gm.methods.draws import Draws
from mri_d3gm.methods.held_out import LEAST, held_out, total
from mri_d3gm.methods.operator_rule import Choice, chosen
from mri_d3gm.metrics.calibration import DOUBTED, INTERPOLATED, KNOWN, UNASSUMED
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.physics.degrade import degraded
from mri_d3gm.physics.interpolation import interpolate
from mri_d3gm.physics.normalise import PERCENTILE, is_signed, pedestal
from mri_d3gm.physics.occupied import occupied, resampled
from mri_d3gm.physics.truncation import doubting
from mri_d3gm.settings import LEARNED, SAMPLED, SuperResolve

LOOKED_AT, JUDGED = 9, 3  # slices whose spectrum is taken, and of these slices that are predicted
LEVELS = 8  # of whole numbers, at most, are labels
BELOW, RARE = 0.02, 0.01  # of the largest values: further below zero is no ringing; of the voxels, at least, to speak of


def grounded(source: Image) -> Image:
    """An image with a background of 0, as the magnitudes that the network knows have; `ground` is what it was (`pedestal`)."""
    ground = 0.0 if source.ground else float(np.float32(pedestal(source.array)))
    return replace(source, array=source.array - np.float32(ground), ground=ground) if ground else source


def seen(source: Image, settings: SuperResolve) -> Image:
    """An image as the method sees it: `grounded`, and for a network without bright voxels, but for labels."""
    source = grounded(source)
    if settings.method not in LEARNED or is_of_labels(source.array):
        return source
    return without_bright_voxels(source, settings.slice_axis)


def signed(source: Image, settings: SuperResolve) -> bool:
    """Whether values of a `grounded` image below 0 are kept: those of the image, and what interpolation leaves below a
    background that was not 0. The network's images are magnitudes above theirs.
    """
    return is_signed(source.array) or (source.ground != 0 and settings.method not in LEARNED)


def is_of_labels(array: np.ndarray) -> bool:
    """Whether a volume has from two to LEVELS values, whole numbers from 0 on."""
    some = np.unique(array.reshape(-1)[:: max(1, array.size // 10**4)])
    if len(some) > LEVELS:
        return False
    levels = np.unique(array)
    return 1 < len(levels) <= LEVELS and bool((levels == np.rint(levels)).all() and levels[0] >= 0)


def warnings(source: Image, settings: SuperResolve) -> list[str]:
    """What to say of values of an image, as it is `seen`, that no magnitudes have, where a network sees them."""
    array, said = source.array, []
    if settings.method != "nearest" and is_of_labels(array):
        said += ["it looks like a label map, a few whole numbers, which this mixes: labels want --method nearest"]
    if source.bright:
        said.append(words(source.bright, slice_axis(source, settings.slice_axis)))
    if settings.method not in LEARNED:
        return said
    if source.ground:
        background = f"its background is {source.ground:.4g}, not 0: that is taken off for the network and added again"
        return [*said, f"{background}; preview and report show the volume without it"]
    low = -BELOW * float(np.percentile(np.abs(array), PERCENTILE))
    if np.mean(array < low) < RARE:
        return said
    return [
        *said,
        "it has values below 0 around no plain background; the network knows magnitudes: --method sinc may be better",
    ]


def low_resolution(plane: np.ndarray, settings: SuperResolve, place: int) -> tuple[torch.Tensor, np.ndarray | None]:
    """A slice (rows, cols) as the method sees it, and as it was where settings.degrade makes it smaller; place: its index."""
    image = torch.from_numpy(np.ascontiguousarray(plane))
    if settings.degrade is None:
        return image, None
    image = image[tuple(slice(n - n % settings.scale) for n in image.shape)]
    seed = settings.seed * 2**20 + place
    return degraded(image, settings.degrade, settings.scale, noise=settings.noise, seed=seed), image.numpy()


def choose(source: Image, settings: SuperResolve, network: Denoiser | None, run: Map = map) -> Choice:
    """What is taken for known of a whole volume: what settings.operator says, and for auto what slices around the middle of
    its first frame show, whichever slices were asked for. Truncation where too little is there to tell, and where values are
    negative, which no magnitudes are. source: `grounded`; run: maps over a slice's two predictions.
    """
    if settings.operator != "auto" or network is None:
        return Choice("truncation" if settings.operator == "auto" else settings.operator)
    with one_thread():
        images, own, matrix = looked_at(source, settings)
        if not images:
            return Choice("truncation")
        cut = None if matrix == own else matrix
        if min(matrix) < LEAST or is_signed(source.array):
            return Choice("truncation", matrix=cut)
        few = [images[k] for k in sorted({len(images) // 4, len(images) // 2, 3 * len(images) // 4})[:JUDGED]]
        held = [held_out(image if cut is None else resampled(image, cut).real, network, run) for image in few]
    several = settings.method in SAMPLED and (settings.samples or 1) > 1
    return chosen(total(held), several)._replace(matrix=cut)


def looked_at(source: Image, settings: SuperResolve) -> tuple[list[torch.Tensor], tuple[int, int], tuple[int, int]]:
    """Slices of the first frame around the middle, as the method sees them, but empty ones; their matrix, and the one that they
    were measured with, as their k-space shows it.
    """
    axis, frame = slice_axis(source, settings.slice_axis), first_frame(source.array)
    images = [low_resolution(np.take(frame, k, axis=axis), settings, k)[0].float() for k in in_the_middle(frame.shape[axis])]
    full = [image for image in images if image.any()]
    own = (images[0].shape[0], images[0].shape[1])
    return full, own, occupied(np.stack([image.numpy() for image in full])) if full else own


def interpolated(source: Image, settings: SuperResolve) -> list[str]:
    """What to say of in-plane axes that were interpolated already, where nothing else looks for it."""
    _, own, matrix = looked_at(source, settings)
    return [
        f"k-space is empty at the border of the {name} in-plane axis: this volume was interpolated before"
        for name, size, measured in zip(("first", "second"), own, matrix, strict=True)
        if measured < size
    ]


def in_the_middle(count: int) -> list[int]:
    """Up to LOOKED_AT slices of the middle half."""
    return sorted(set(np.linspace(count // 4, (3 * count - 1) // 4, LOOKED_AT).round().astype(int).tolist()))


def settled(draws: Draws, image: torch.Tensor, choice: Choice, unit: float, scale: int) -> Draws:
    """Draws (1, draws, rows, cols) of an image (rows, cols) in data units on the grid of `scale` times its matrix. Both kinds
    of draws have their parts in the mean, by choice.doubt, and interpolation has what the choice leaves room for.
    """
    size = (scale * image.shape[0], scale * image.shape[1])
    images = draws.images
    if images.shape[-2:] != size:
        images = resampled(images, size)
    if choice.doubt:
        images = mixed(images, choice.doubt)
    if choice.weight < 1:
        sharp = choice.rest == "sinc"
        plain = (
            resampled(image, size).real if sharp else torch.from_numpy(interpolate(image.numpy(), scale, choice.rest).copy())
        )
        images = choice.weight * images + (1 - choice.weight) / unit * plain.to(images.device)
    return draws._replace(images=images)


def mixed(images: torch.Tensor, doubt: float) -> torch.Tensor:
    """Draws (1, draws, rows, cols) of both kinds, those that assume nothing last, moved so that these make the part `doubt` of
    the mean, and so that the std of a sample has what is between the kinds as two draws would have it.
    """
    draws, few = images.shape[1], doubting(doubt, images.shape[1])
    if not 0 < few < draws:
        return images
    told, blind = images[:, :-few], images[:, -few:]
    known = told.mean(1, keepdim=True)
    apart = blind.mean(1, keepdim=True) - known
    wide = math.sqrt(draws * (draws - 1) / (2 * few * (draws - few)))
    moves = doubt - wide * few / draws, doubt - 1 + wide * (1 - few / draws)
    return torch.cat([told + moves[0] * apart, blind + moves[1] * apart], 1)


def std_factors(choice: Choice | None, settings: SuperResolve) -> tuple[float, float, float]:
    """Those of `detail_std` for draws that take for known what the choice says, or settings.operator without one, and of which
    the image has the part that it says.
    """
    choice = choice or Choice("unknown" if settings.operator == "unknown" else "truncation")
    if not choice.weight:
        return INTERPOLATED
    spread, detail, floor = DOUBTED if choice.doubt else UNASSUMED if choice.operator == "unknown" else KNOWN
    return spread / choice.weight, detail, floor


def described(choice: Choice, settings: SuperResolve, shape: tuple[int, int]) -> dict[str, Any]:
    """What the sidecar says of it; shape: in-plane matrix of the volume."""
    matrix = choice.matrix or shape
    said = "truncation" if choice.likelier == "truncation" else "unknown blur"
    if choice.doubt:
        said += f", in doubt: {choice.doubt:.0%} of the network's image assumes nothing"
    if choice.matrix is not None:
        said += f"; interpolated before from {matrix[0]} x {matrix[1]} to {shape[0]} x {shape[1]}, which is left out"
    if choice.weight < 1:
        said += f"; {1 - choice.weight:.0%} {choice.rest} interpolation"
    return {
        "Asked": settings.operator,
        "Chosen": choice.likelier,
        "Doubt": round(choice.doubt, 4),
        "Weight": round(choice.weight, 4),
        "MeasuredMatrix": list(matrix),
        "WithheldError": None if choice.withheld is None else round(choice.withheld, 4),
        "Said": said,
    }
