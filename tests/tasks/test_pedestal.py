"""Volumes that are no magnitudes: a background other than 0 makes no difference; real signs and labels are told."""

from functools import partial

import numpy as np
import pytest
from scans import phantom

import mri_d3gm
from mri_d3gm.physics.normalise import pedestal

AFFINE = np.diag([1, 1, 5, 1.0])
RANDOM = np.random.default_rng(0)
HEAD = (301.7 * phantom(3, 40, 44).transpose(1, 2, 0)).astype(np.float32)
NOISY = np.hypot(HEAD + RANDOM.normal(0, 5, HEAD.shape), RANDOM.normal(0, 5, HEAD.shape)).astype(np.float32)
superresolve = partial(mri_d3gm.superresolve, affine=AFFINE, samples=1, device="cpu", threads=1)
SIGNED = {
    "phase": RANDOM.uniform(-np.pi, np.pi, HEAD.shape),
    "phase inside a mask": np.where(HEAD > 0, RANDOM.uniform(-np.pi, np.pi, HEAD.shape), 0),
    "noise": RANDOM.normal(0, 1, HEAD.shape),
    "difference": HEAD - np.roll(HEAD, 2, 0),
    "negated": -HEAD,
    "z-scores inside a mask": np.where(HEAD > 0, (HEAD - HEAD[HEAD > 0].mean()) / HEAD.std(), 0),
}
PLAIN = {
    "head": HEAD,
    "noisy": NOISY,
    "no background": RANDOM.normal(500, 60, HEAD.shape),
    "noise of sixteen coils": np.sqrt((HEAD + RANDOM.normal(0, 6, HEAD.shape)) ** 2 + 36 * RANDOM.chisquare(31, HEAD.shape)),
    "inside a head": 240 + 60 * RANDOM.random(HEAD.shape) ** 2,
    "undershoots": np.where(RANDOM.random(HEAD.shape) < 0.03, -20, HEAD),
    "constant": np.full((8, 8, 2), 7.0),
    "zeros": np.zeros((8, 8, 2)),
}


@pytest.mark.parametrize("name", [*SIGNED, *PLAIN])
def test_no_other_volume_has_a_pedestal(name: str) -> None:
    assert pedestal((SIGNED | PLAIN)[name].astype(np.float32)) == 0


@pytest.mark.parametrize("image", [HEAD, NOISY], ids=["quiet", "noisy"])
@pytest.mark.parametrize(("slope", "ground"), [(1, 1000), (1, -1000), (0.01, -0.7), (1e6, 2e8), (1, -40)])
def test_a_pedestal_is_found(image: np.ndarray, slope: float, ground: float) -> None:
    assert pedestal(np.float32(slope * image + ground)) == pytest.approx(ground, abs=0.01 * slope * float(image.max()))


OPTIONS: list[dict] = [
    {"scale": 2},
    {"scale": 2, "degrade": "truncation"},
    {"scale": 2, "method": "sinc"},
    {"isotropic": True},
]


@pytest.mark.parametrize(("image", "near"), [(HEAD, 1e-4), (NOISY, 0.01)], ids=["quiet", "noisy"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_result_is_that_without_the_pedestal(options: dict, image: np.ndarray, near: float) -> None:
    slabs = np.concatenate([image, image], 2)
    plain = superresolve(slabs, **options)
    for slope, ground in ((1, 1000), (1, -1000), (0.02, -1.4)):
        lifted = superresolve(np.float32(slope * slabs + ground), **options)
        found = (lifted.volume - np.float32(ground)) / slope
        away = np.abs((np.abs(found) if options.get("method") == "sinc" else found) - plain.volume)
        assert away.max() < near * slabs.max()
        if "Operator" in plain.record:
            assert lifted.record["Operator"]["Chosen"] == plain.record["Operator"]["Chosen"]
        assert ("background is" in " ".join(lifted.record["Warnings"])) == (options.get("method") != "sinc")
        if lifted.reference is not None:
            np.testing.assert_allclose(lifted.reference, slope * slabs + ground, rtol=1e-4)


def test_ringing_of_an_aliased_head_is_no_darker_than_its_background() -> None:
    found = superresolve(NOISY[::2, ::2] - 1024, operator="truncation", scale=2).volume
    assert found.min() > -1024.5


@pytest.mark.parametrize("name", SIGNED)
def test_real_signs_stay_with_a_word(name: str) -> None:
    image = SIGNED[name].astype(np.float32)
    found = superresolve(image, scale=2)
    assert found.volume.min() < 0.7 * image.min() and "below 0" in " ".join(found.record["Warnings"])
    assert (
        superresolve(HEAD, scale=2).record["Warnings"] == [] == superresolve(image, method="sinc", scale=2).record["Warnings"]
    )


@pytest.mark.parametrize("options", [{"scale": 2}, {"isotropic": True, "method": "cubic"}], ids=str)
@pytest.mark.parametrize("values", [(0, 1), (0, 1, 4), (0, 2, 3, 7, 9)])
def test_label_maps_are_doubted(values: tuple[int, ...], options: dict) -> None:
    labels = np.take(values, (np.arange(24)[:, None, None] + np.arange(24)[:, None] // 6 + np.arange(4)) // 7 % len(values))
    said = superresolve(labels.astype(np.float32), **options).record["Warnings"]
    assert len([text for text in said if "label map" in text]) == 1
    nearest = superresolve(labels.astype(np.float32), **options | {"method": "nearest"})
    assert not any("label" in text for text in nearest.record["Warnings"])
    fractions = superresolve((labels + 0.25 * (labels > 0)).astype(np.float32), **options).record["Warnings"]
    assert not any("label" in text for text in fractions)


def test_labels_by_nearest_neighbour_stay_the_labels_that_they_are() -> None:
    labels = ((np.arange(24)[:, None, None] + np.arange(24)[:, None] + np.arange(2)) // 5 % 5).astype(np.float32)
    assert set(np.unique(superresolve(labels, method="nearest", scale=2).volume)) == set(np.unique(labels))


def test_magnitudes_stay_magnitudes_and_scores_are_those_of_the_volume() -> None:
    lifted = superresolve(HEAD + 25, scale=2, degrade="truncation")
    assert lifted.volume.min() >= 0 and "background is 25" in " ".join(lifted.record["Warnings"])
    least = np.square(lifted.reference - lifted.volume).mean()
    psnr = 10 * np.log10(lifted.reference.max() ** 2 / least)
    assert lifted.record["Metrics"]["fastmri-volume"]["psnr"] == pytest.approx(psnr, abs=0.05)
