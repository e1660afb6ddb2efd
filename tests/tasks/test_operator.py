"""`--operator auto`: what is taken for known of a volume follows from its own k-space, and the result is no worse for it."""

from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from scans import phantom

import mri_d3gm
from mri_d3gm.cli.sr import sr, summary, withheld
from mri_d3gm.io.image import make_image
from mri_d3gm.io.sidecar import read_sidecar
from mri_d3gm.methods.draws import Draws
from mri_d3gm.methods.held_out import HeldOut, _gain
from mri_d3gm.methods.operator_rule import CERTAIN, HALF, MAYBE, SURE, Choice, chosen, withheld_error
from mri_d3gm.metrics import score
from mri_d3gm.metrics.calibration import DOUBTED, INTERPOLATED, KNOWN, UNASSUMED
from mri_d3gm.physics.degrade import degraded
from mri_d3gm.physics.occupied import resampled
from mri_d3gm.physics.truncation import Truncation, doubting
from mri_d3gm.settings import SuperResolve
from mri_d3gm.shipped import shipped
from mri_d3gm.tasks import operator
from mri_d3gm.tasks.bundles import open_bundle
from mri_d3gm.tasks.operator import settled, std_factors
from mri_d3gm.tasks.sr import finished_slice, names_of

FAST = {"samples": 2, "scale": 2, "device": "cpu", "threads": 1}
AFFINE = np.diag([1, 1, 5, 1.0])
superresolve = partial(mri_d3gm.superresolve, **FAST)


@cache
def anatomy() -> np.ndarray:
    """Slices (2, 144, 144) of a real head."""
    volume = np.asarray(nibabel.load(Path(mri_d3gm.__file__).parent / "demo" / "t2_6slices.nii.gz").dataobj, np.float32)
    slices = np.moveaxis(volume, int(np.argmin(volume.shape)), 0)[2:4]
    return resampled(torch.from_numpy(slices.copy()), (144, 144)).abs().numpy()


@cache
def made(way: str, seed: int = 0, noise: float = 0.0) -> np.ndarray:
    """The head at half its resolution, (rows, cols, slices)."""
    images = [torch.from_numpy(image.copy()) for image in anatomy()]
    if way == "interpolated":
        images = [degraded(image, "truncation", 4, noise=noise, seed=seed) for image in images]
        return np.stack([resampled(image, (2 * image.shape[0], 2 * image.shape[1])).abs().numpy() for image in images], -1)
    return np.stack([degraded(image, way, 2, noise=noise, seed=seed).numpy() for image in images], -1)


WAYS = [("truncation", 0, 0.0), ("truncation", 0, 0.02), ("interpolated", 0, 0.0), ("kernel", 1, 0.0), ("kernel", 2, 0.005)]


@pytest.mark.parametrize(("way", "seed", "noise"), WAYS)
def test_each_way_is_recognised_and_the_result_beats_every_interpolation(way: str, seed: int, noise: float) -> None:
    low = made(way, seed, noise)
    result = superresolve(low, AFFINE)
    found = result.record["Operator"]
    assert found["Asked"] == "auto"
    assert found["Chosen"] == "unknown" or found["Doubt"] > 0 if way == "kernel" else found["Chosen"] == "truncation"
    true = [n // (2 if way == "interpolated" else 1) for n in low.shape[:2]]
    assert all(0.92 * n <= m <= n for m, n in zip(found["MeasuredMatrix"], true, strict=True))
    assert not result.record["Warnings"] and result.volume.shape == (144, 144, 2)

    def figures(volume: np.ndarray) -> np.ndarray:
        found = score(anatomy(), np.moveaxis(volume, 2, 0), "fastmri-volume")
        return np.array([found["psnr"], found["ssim"]])

    plain = [figures(superresolve(low, AFFINE, method=m).volume) for m in ("sinc", "linear", "cubic", "lanczos")]
    assert (figures(result.volume) > np.max(plain, 0)).all()


def test_the_choice_is_that_of_the_volume_whatever_is_asked_of_it() -> None:
    low = made("kernel", 1)
    one, again = (superresolve(low, AFFINE, **more, slices="1", samples=1) for more in ({}, {"threads": 2}))
    whole = superresolve(low, AFFINE, samples=1)
    assert np.array_equal(one.volume, again.volume) and np.array_equal(one.volume, whole.volume[..., 1:])
    assert whole.record["Operator"] == again.record["Operator"] == one.record["Operator"]


@pytest.mark.parametrize("size", [(144, 112), (96, 144), (144, 144)])
def test_the_warning_and_auto_see_the_same_interpolation(size: tuple[int, int]) -> None:
    images = [resampled(resampled(torch.from_numpy(image.copy()), size).real, (144, 144)).abs().numpy() for image in anatomy()]
    volume = np.stack(images, -1)
    said = superresolve(volume, AFFINE, method="nearest").record["Warnings"]
    assert [name for name in ("first", "second") if any(name in text for text in said)] == [
        name for name, few in zip(("first", "second"), size, strict=True) if few < 144
    ]
    image = make_image("head", volume, AFFINE, ())
    matrix = operator.looked_at(image, SuperResolve(method="nearest"))[2]
    assert [few < 144 for few in matrix] == [few < 144 for few in size]


def test_truncation_keeps_what_was_measured_of_an_interpolated_volume() -> None:
    low = made("interpolated")
    result = superresolve(low, AFFINE)
    rows, cols = result.record["Operator"]["MeasuredMatrix"]
    for index in range(2):
        back = resampled(torch.from_numpy(result.volume[..., index]), (rows, cols)).real
        once = resampled(torch.from_numpy(low[..., index].copy()), (rows, cols)).real
        assert float((back - once).abs().mean()) < 0.02 * float(once.abs().mean())


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("name", ["constant", "tiny", "one slice", "negative", "noise", "empty slices", "thin"])
def test_odd_volumes_are_done(name: str, scale: int) -> None:
    random = np.random.default_rng(0)
    volume = {
        "constant": np.full((32, 36, 3), 7.0),
        "tiny": random.random((5, 6, 2)),
        "one slice": phantom(1, 40, 44).transpose(1, 2, 0),
        "negative": random.normal(0, 1, (32, 36, 3)),
        "noise": random.random((33, 35, 3)),
        "empty slices": np.concatenate([np.zeros((32, 36, 8)), phantom(1, 32, 36).transpose(1, 2, 0)], 2),
        "thin": random.random((1, 64, 2)),
    }[name].astype(np.float32)
    result = superresolve(volume, AFFINE, scale=scale, slice_axis=2)
    assert result.volume.shape == (scale * volume.shape[0], scale * volume.shape[1], volume.shape[2])
    assert np.isfinite(result.volume).all() and result.record["Operator"]["Said"]
    assert result.volume.any() == volume.any()
    if name == "constant":
        np.testing.assert_allclose(result.volume, 7, rtol=0.05)


@pytest.mark.parametrize(
    ("share", "several", "expected"),
    [
        (0.05, True, Choice("truncation")),
        (0.2, True, Choice("truncation", 0.2)),
        (0.7, True, Choice("truncation", 0.7)),
        (0.95, True, Choice("unknown")),
        (0.3, False, Choice("truncation")),
        (0.7, False, Choice("unknown")),
    ],
)
def test_a_doubtful_volume_shares_its_draws(share: float, several: bool, expected: Choice, monkeypatch) -> None:
    from mri_d3gm.methods import operator_rule

    assert 0 < SURE < HALF < CERTAIN < 1
    quiet = HeldOut(np.zeros((2, 5)), np.zeros(5), np.zeros((2, 2)), np.zeros((2, 3)))
    monkeypatch.setattr(operator_rule, "features", lambda held: None)
    monkeypatch.setattr(operator_rule, "unknown_share", lambda values: share)
    monkeypatch.setattr(operator_rule, "helped", lambda held, operator: 1.0)
    monkeypatch.setattr(operator_rule, "missing", lambda held: 1e-3)
    assert chosen(quiet, several) == expected
    monkeypatch.setattr(operator_rule, "missing", lambda held: 1e-5)
    assert chosen(quiet, several) == (Choice("truncation", 0.0, 0.0) if share <= MAYBE else expected)


@pytest.mark.parametrize("draws", [2, 3, 8])
@pytest.mark.parametrize("doubt", [0.11, 0.3, 0.5, 0.89])
def test_both_kinds_of_draws_have_their_part_in_the_mean(doubt: float, draws: int) -> None:
    images = torch.rand(1, draws, 8, 12, generator=torch.Generator().manual_seed(0))
    few = doubting(doubt, draws)
    assert 0 < few < draws
    choice = Choice("truncation", doubt)
    draws_settled = settled(Draws(images, 1), torch.rand(4, 6), choice, 1.0, 2)
    told, blind = images[:, :-few], images[:, -few:]
    wanted = (1 - doubt) * told.mean(1) + doubt * blind.mean(1)
    torch.testing.assert_close(draws_settled.images.mean(1), wanted)
    shown = finished_slice(draws_settled, np.ones(1), SuperResolve(scale=2, samples=draws), choice, None)
    np.testing.assert_allclose(shown.image, wanted[0].numpy(), rtol=1e-5)
    centred = [part - part.mean(1, keepdim=True) for part in (told, blind)]
    between = (told.mean(1) - blind.mean(1)).square() / 2
    within = torch.cat(centred, 1).square().sum(1) / (draws - 1)
    torch.testing.assert_close(draws_settled.images.var(1), within + between)


@pytest.mark.parametrize(("doubt", "draws"), [(0.7, 1), (1.0, 4), (0.0, 4)])
def test_draws_of_one_kind_stay(doubt: float, draws: int) -> None:
    images = torch.rand(1, draws, 8, 12)
    assert torch.equal(settled(Draws(images, 1), torch.rand(4, 6), Choice("truncation", doubt), 1.0, 2).images, images)


@pytest.mark.parametrize(
    ("doubt", "draws", "known"), [(0.0, 4, 4), (0.25, 4, 3), (0.5, 4, 2), (0.25, 2, 1), (0.25, 8, 6), (1.0, 4, 0)]
)
def test_draws_that_doubt_assume_nothing(doubt: float, draws: int, known: int) -> None:
    measurement = replace(Truncation.of(torch.rand(1, 8, 10), 2), doubt=doubt)
    assumed = [measurement.assumed(draw, draws) for draw in range(draws)]
    assert [isinstance(one, Truncation) for one in assumed] == [True] * known + [False] * (draws - known)
    assert all(torch.equal(one.prior_mean(), measurement.prior_mean()) for one in assumed)


@pytest.mark.parametrize("ground", [0, -1000])
def test_the_bundle_chooses_as_the_command_does(ground: float, tmp_path) -> None:
    path = tmp_path / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(made("interpolated")[..., :1] + np.float32(ground), AFFINE), path)
    options = {"dataset_dir": str(path), "samples": 2, "scale": 2}
    workflow = open_bundle(shipped("pipelines", "super_resolution"), "inference.json", "inference", **options)
    workflow.run()
    bundle, result = workflow.parser.get_parsed_content("gatherer").result, superresolve(path)
    assert np.array_equal(bundle.volume, result.volume) and np.array_equal(bundle.std, result.std)
    assert bundle.record["Operator"] == result.record["Operator"]


def test_the_command_says_what_was_chosen(tmp_path, capsys) -> None:
    path = tmp_path / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(made("truncation")[:40, :36, :1], AFFINE), path)
    sr((str(path),), str(tmp_path), False, True, samples=1, scale=2, device="cpu")
    said, record = capsys.readouterr()[::-1][0], read_sidecar(names_of(path, tmp_path).sidecar)
    assert f"operator auto: {record['Operator']['Said']}" in said


def test_what_the_image_made_smaller_says_is_the_share_of_the_error_that_is_left() -> None:
    rng = np.random.default_rng(0)
    image, interpolated, predicted = rng.normal(size=(3, 40, 40))
    tensors = [torch.from_numpy(one) for one in (predicted, interpolated, image)]
    held = HeldOut(np.zeros((2, 5)), np.zeros(5), np.zeros((2, 2)), np.array([_gain(*tensors), [0.0, 0.0, 0.0]]))
    left = ((image - predicted) ** 2).sum() / ((image - interpolated) ** 2).sum()
    assert withheld_error(held, "truncation") == pytest.approx(left)
    assert withheld_error(held, "unknown") is None


def test_the_sidecar_and_the_line_say_what_it_says() -> None:
    record = superresolve(made("truncation"), AFFINE, slice_axis=2).record
    assert record["Operator"]["WithheldError"] > 0
    assert "test on itself made smaller" in summary("a", record)
    assert "made smaller" not in summary("a", {**record, "Operator": {"WithheldError": None, "Weight": 1}})
    assert "made smaller" not in summary("a", {**record, "Operator": {"WithheldError": 0.4, "Weight": 0}})
    assert withheld(1.2).endswith("no better than interpolation") and "42 %" in withheld(0.58)


@pytest.mark.parametrize(
    ("choice", "asked", "expected"),
    [
        (None, "truncation", KNOWN),
        (None, "unknown", UNASSUMED),
        (Choice("unknown"), "auto", UNASSUMED),
        (Choice("truncation", 0.25), "auto", DOUBTED),
        (Choice("truncation", 0.0, 0.0), "auto", INTERPOLATED),
        (Choice("truncation", 0.0, 0.5), "auto", (2 * KNOWN[0], *KNOWN[1:])),
    ],
)
def test_the_std_is_made_of_what_the_draws_assume_and_of_their_part(choice, asked: str, expected: tuple) -> None:
    assert std_factors(choice, SuperResolve(operator=asked)) == expected


def test_the_std_of_a_slice_is_in_its_units_and_that_of_a_sample() -> None:
    images = torch.rand(1, 2, 20, 24, generator=torch.Generator().manual_seed(0)) + 0j
    settings, choice = SuperResolve(scale=2), Choice("truncation")
    made, larger = (finished_slice(Draws(images, 2), np.array([unit]), settings, choice, None).std for unit in (1.0, 300.0))
    np.testing.assert_allclose(larger, 300 * made, rtol=1e-4)
    more = finished_slice(Draws(images.repeat(1, 3, 1, 1), 6), np.array([1.0]), settings, choice, None).std
    assert np.abs(more / made - (5 / 6 / (1 / 2)) ** -0.5).max() < 0.05


@pytest.mark.parametrize("value", [3.0, 1000.0])
def test_a_constant_volume_has_nothing_to_test(value: float) -> None:
    volume = np.full((32, 32, 3), value, np.float32)
    assert superresolve(volume, AFFINE, slice_axis=2).record["Operator"]["WithheldError"] is None


@pytest.mark.parametrize("method", ["nearest", "linear", "cubic", "lanczos", "sinc"])
def test_methods_without_a_network_assume_nothing(method: str, tmp_path, capsys) -> None:
    path = tmp_path / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(made("truncation")[:40, :36, :1], AFFINE), path)
    sr((str(path),), str(tmp_path), False, False, method=method, scale=2, device="cpu", dicom="classic")
    record, folder = read_sidecar(names_of(path, tmp_path).sidecar), tmp_path / "a_sr_dicom"
    assert "Operator" not in record and "operator" not in capsys.readouterr().err
    assert all("operator" not in pydicom.dcmread(file).DerivationDescription for file in folder.glob("*.dcm"))
