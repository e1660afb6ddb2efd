"""Super-resolution through the slices: thick ones to voxels as high as they are wide."""

from itertools import count
from typing import Any, NamedTuple

import numpy as np

from mri_d3gm.compute import Progress
from mri_d3gm.errors import InputError
from mri_d3gm.io.image import Image, slice_axis, spacing, with_frames
from mri_d3gm.methods import through_slices
from mri_d3gm.methods.through_slices import Estimated
from mri_d3gm.metrics.calibration import STACKED, detail_std
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.physics.interpolation import slice_weights
from mri_d3gm.physics.normalise import PERCENTILE, is_signed
from mri_d3gm.physics.slice_stack import fine_count, slice_profiles
from mri_d3gm.settings import SuperResolve

FEWEST, CLEARLY, MOST = 4, 1.1, 20  # slices; times the side of a voxel that they are apart, at least and at most


class Stack(NamedTuple):
    """How slices lie: the axis across them, their number; in mm the distance of their centres, their thickness, and the side of
    the voxels to make. source: where the thickness is from: given, header, or distance.
    """

    axis: int
    slices: int
    spacing: float
    thickness: float
    voxel: float
    source: str

    @property
    def in_voxels(self) -> tuple[int, float, float]:
        """Number, distance and thickness, in voxels; no slice is thinner than one."""
        return self.slices, self.spacing / self.voxel, max(1.0, self.thickness / self.voxel)


class Isotropic(NamedTuple):
    """Arrays (i, j, k[, t]) float32 in the image's units on the grid of `affine`, RMS of what the slices say otherwise than the
    network, and evaluations of the network for each voxel, both 0 without one.
    """

    volume: np.ndarray
    std: np.ndarray | None
    affine: np.ndarray
    residual: float
    evaluations: int


def stack_of(source: Image, settings: SuperResolve) -> Stack:
    """How the slices of an image lie; InputError for too few of them, and where voxels are as high as wide already."""
    name = str(source.files[0]) if source.files else "volume"
    axis = slice_axis(source, settings.slice_axis)
    sizes, slices = spacing(source), source.array.shape[axis]
    voxel = min(size for place, size in enumerate(sizes) if place != axis)
    if slices < FEWEST:
        raise InputError(f"{name}: {slices} slices are too few for --isotropic; {FEWEST} are needed")
    if sizes[axis] < CLEARLY * voxel:
        text = f"{name}: slices are {sizes[axis]:.3g} mm apart and voxels {voxel:.3g} mm wide: isotropic already"
        raise InputError(f"{text}; leave --isotropic out, or give another --slice-axis")
    if sizes[axis] > MOST * voxel:
        text = f"{name}: slices are {sizes[axis]:.3g} mm apart and voxels {voxel:.3g} mm wide: more than {MOST} times"
        raise InputError(f"{text}; give thinner slices, or larger voxels")
    thickness, origin = settings.thickness, "given"
    if thickness is None:
        thickness, origin = thickness_of(source, axis), "header"
    if thickness is None:
        thickness, origin = sizes[axis], "distance"
    if not sizes[axis] / 10 <= thickness <= 3 * sizes[axis]:
        text = f"{name}: slices of {thickness:.3g} mm that are {sizes[axis]:.3g} mm apart"
        raise InputError(f"{text} cannot be; give their true --thickness")
    return Stack(axis, slices, sizes[axis], thickness, voxel, origin)


def thickness_of(source: Image, axis: int) -> float | None:
    """Thickness in mm of slices across an axis as the header says it; None where it does not.

    Of the formats that are read DICOM alone can, for its own slices: those across the third axis.
    """
    try:
        thickness = float(source.source.get("SliceThickness", 0)) if axis == 2 else 0
    except (TypeError, ValueError):
        return None
    return thickness if 0 < thickness < np.inf else None


def grid(affine: np.ndarray, stack: Stack) -> np.ndarray:
    """Affine of the result: the middle of the stack stays where it is; voxels are as high as stack.voxel."""
    middle, fine = np.zeros(4), affine.copy()
    middle[stack.axis], middle[3] = (stack.slices - 1) / 2, 1
    fine[:, stack.axis] *= stack.voxel / stack.spacing
    fine[:3, 3] = (affine @ middle)[:3] - fine[:3, stack.axis] * (fine_count(*stack.in_voxels) - 1) / 2
    return fine


def isotropic(
    source: Image, settings: SuperResolve, network: Denoiser | None = None, progress: Progress | None = None
) -> Isotropic:
    """The volume frame by frame, and the std to expect where there are several draws; progress(done, all) counts evaluations.

    network: None for methods that have none.
    """
    stack = stack_of(source, settings)
    profile = slice_profiles(*stack.in_voxels, settings.profile)
    frames, signed = with_frames(source.array), is_signed(source.array)
    first, second = (size for axis, size in enumerate(frames.shape[:3]) if axis != stack.axis)
    once = through_slices.evaluations((first, second), profile.shape[1], settings)
    number, total = count(1), frames.shape[3] * once

    def tell() -> None:
        if progress is not None:
            progress(min(next(number), total), total)

    found: list[Estimated] = []
    for frame in range(frames.shape[3]):
        slices = np.moveaxis(frames[..., frame], stack.axis, -1)
        if network is None:
            weights = slice_weights(stack.slices, stack.in_voxels[1], profile.shape[1], settings.method)
            volume = slices @ weights.T
            found.append(Estimated(volume if signed else np.maximum(volume, 0), None, 0.0))
        else:
            found.append(calibrated(through_slices.estimate(slices, profile, settings, network, frame, tell), stack))
    parts = [[each.mean for each in found], [each.std for each in found if each.std is not None]]
    volume, std = (assembled(part, stack, source) if part else None for part in parts)
    assert volume is not None
    residual = float(np.sqrt(np.mean([each.residual**2 for each in found])))
    used = 0 if network is None else through_slices.seen(settings)
    return Isotropic(volume, std, grid(source.affine, stack), residual, used)


def calibrated(made: Estimated, stack: Stack) -> Estimated:
    """The same with the standard deviation to expect of the error in place of that of the draws."""
    if made.std is None:
        return made
    level, wide = float(np.percentile(np.abs(made.mean), PERCENTILE)), stack.in_voxels[1]
    return made._replace(std=detail_std(made.std, made.mean, level, (0, 0, wide / 2), (1, 1, wide / 4), STACKED))


def assembled(volumes: list[np.ndarray], stack: Stack, source: Image) -> np.ndarray:
    """Volumes of all frames, whose last axis is that across slices, with the axes of the image."""
    frames = np.stack([np.moveaxis(volume, -1, stack.axis) for volume in volumes], -1)
    return frames if source.array.ndim == 4 else frames[..., 0]


def described(stack: Stack, settings: SuperResolve) -> dict[str, Any]:
    """What the sidecar says of the slices."""
    return {
        "Slices": stack.slices,
        "SpacingMillimetres": stack.spacing,
        "ThicknessMillimetres": stack.thickness,
        "ThicknessFrom": stack.source,
        "GapMillimetres": stack.spacing - stack.thickness,
        "Profile": settings.profile,
    }


def warnings(stack: Stack) -> list[str]:
    """What to say of slices whose thickness is not known."""
    if stack.source != "distance":
        return []
    return [
        "the thickness of the slices is not in the header: taken for their distance; --thickness says it where there are gaps"
    ]
