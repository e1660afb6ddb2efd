"""Super-resolution through the slices: where voxels land, what the slices keep, and what is refused."""

from dataclasses import fields
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_files import write_enhanced, write_series
from heads import head

import mri_d3gm
from mri_d3gm.errors import InputError
from mri_d3gm.io.image import Image, make_image
from mri_d3gm.io.open_image import open_image
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.weights import save_weights
from mri_d3gm.physics.interpolation import interpolate, slice_weights
from mri_d3gm.physics.slice_stack import slice_profiles
from mri_d3gm.settings import INTERPOLATIONS, SuperResolve
from mri_d3gm.tasks.isotropic import isotropic, stack_of, warnings
from mri_d3gm.tasks.sr import names_of, superresolve_file

TILTED = np.array([[0.93, 0.21, 1.1, -80], [-0.2, 0.96, 1.7, -90], [-0.25, -0.15, 5.6, 12], [0, 0, 0, 1.0]])
superresolve = partial(mri_d3gm.superresolve, isotropic=True, device="cpu", threads=1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    """A network that was not trained, whose estimate before agreement is the smoothest image."""
    path = tmp_path_factory.mktemp("weights") / "isotropic.safetensors"
    save_weights(path, Denoiser("consistent", {"blocks": 1, "features": 8, "both_axes": True}), {"steps": 1})
    return str(path)


def spacings(affine: np.ndarray) -> np.ndarray:
    return np.linalg.norm(affine[:3, :3], axis=0)


def places(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """World coordinates of every voxel, (3, i, j, k)."""
    return np.einsum("ab,bijk->aijk", affine[:3, :3], np.indices(shape)) + affine[:3, 3, None, None, None]


def thick(shape: tuple[int, int], slices: int, spacing: float, thickness: float, place: float | None = None) -> np.ndarray:
    """A head, or a Gaussian spot at a place, through slices by their Gaussian profile; (a, b, slices)."""
    profile = slice_profiles(slices, spacing, thickness, "gaussian").numpy()
    height = np.arange(profile.shape[1]) - (profile.shape[1] - 1) / 2
    if place is None:
        fine = np.stack([100 * head(*shape, height=2 * z / profile.shape[1] * 0.8) for z in height], -1)
    else:
        y, x = np.mgrid[: shape[0], : shape[1]]
        plane = np.exp(-((y - shape[0] // 2) ** 2 + (x - shape[1] // 2) ** 2) / 8)
        fine = 100 * plane[..., None] * np.exp(-((height - place) ** 2) / 8)
    return (fine @ profile.T).astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("slices", "thickness"), [(7, None), (8, None), (8, 4.1), (9, 7.5)])
@pytest.mark.parametrize("method", ["linear", "cubic", "lanczos"])
def test_every_voxel_holds_the_world_coordinate_that_the_affine_says(axis: int, slices: int, thickness, method: str) -> None:
    affine = TILTED[:, [*np.insert([0, 1], axis, 2), 3]]
    shape = tuple(np.insert([6, 5], axis, slices))
    for number, wanted in enumerate(places(affine, shape)):
        result = superresolve(wanted, affine, method=method, thickness=thickness)
        np.testing.assert_allclose(spacings(result.affine)[axis], spacings(affine)[[a for a in range(3) if a != axis]].min())
        margin = tuple(slice(15, -15) if place == axis else slice(None) for place in range(3))
        inner = places(result.affine, result.volume.shape)[number][margin]
        tolerance = 0.01 if method != "lanczos" else 0.15  # whose weights reproduce no line
        np.testing.assert_allclose(result.volume[margin], inner, atol=tolerance)
        unit = np.array([*(np.array(shape) - 1) / 2, 1])
        fine = np.array([*(np.array(result.volume.shape) - 1) / 2, 1])
        np.testing.assert_allclose(result.affine @ fine, affine @ unit, atol=1e-9)


@pytest.mark.parametrize("kind", INTERPOLATIONS)
def test_weights_are_those_of_the_plane_where_the_grids_are_the_same(kind: str) -> None:
    image = np.random.default_rng(0).random((7, 9)).astype(np.float32)
    # a factor of 3 has voxels on the middle of the stack, as the Fourier grid has
    weights = slice_weights(9, 3.0, 27, kind)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    ours, theirs = image @ weights.T, interpolate(image, 3, kind)[::3]
    np.testing.assert_allclose(ours[:, 1 + 9 : -9], theirs[:, 9 : -9 - 1], atol=0.02)


@pytest.mark.parametrize("method", ["regression", "d3gm"])
@pytest.mark.parametrize(("slices", "thickness"), [(9, 5.0), (8, 6.0), (8, 4.0)])
def test_a_landmark_keeps_its_place(method: str, slices: int, thickness: float, weights: str) -> None:
    middle = slices // 2
    volume = thick((17, 18), slices, 6.0, thickness, place=6.0 * (middle - (slices - 1) / 2))
    affine = TILTED * [1, 1, 6 / spacings(TILTED)[2], 1]
    affine[:3, :2] /= spacings(affine)[:2]
    result = superresolve(volume, affine, method=method, thickness=thickness, profile="gaussian", weights=weights, samples=2)
    spot = np.clip(result.volume - 0.05 * result.volume.max(), 0, None)
    found = np.einsum("aijk,ijk->a", places(result.affine, spot.shape), spot.astype(np.float64)) / spot.sum()
    np.testing.assert_allclose(found, (affine @ [8, 9, middle, 1])[:3], atol=0.01)


@pytest.mark.parametrize("profile", ["gaussian", "box"])
@pytest.mark.parametrize("method", ["regression", "d3gm"])
def test_the_acquired_slices_are_kept_through_their_profile(method: str, profile: str, weights: str) -> None:
    volume = thick((28, 25), 8, 4.0, 3.0)
    options = {"thickness": 3.0, "profile": profile, "samples": 3, "weights": weights, "method": method}
    result = superresolve(volume, np.diag([1, 1, 4, 1.0]), **options)
    again = superresolve(volume, np.diag([1, 1, 4, 1.0]), **options | {"threads": 2})
    assert np.array_equal(result.volume, again.volume)
    rows = slice_profiles(8, 4.0, 3.0, profile).numpy()
    assert np.sqrt(np.mean((result.volume @ rows.T - volume) ** 2)) < 0.01 * volume.std()
    assert (result.std is None) == (method == "regression") and (result.volume >= 0).all()
    assert result.std is None or (result.std.shape == result.volume.shape and result.std.max() > 0)
    assert result.record["DataResidual"]["BeforeLastConsistency"] > 0


def test_frames_negatives_and_empty_borders(weights: str) -> None:
    one = thick((20, 18), 6, 5.0, 5.0)
    one[:5] = 0
    frames = np.stack([one, np.zeros_like(one), -one], -1)
    result = superresolve(frames, np.diag([1, 1, 5, 1.0]), weights=weights, samples=1)
    assert result.volume.shape == (20, 18, 30, 3) and not result.volume[..., 1].any()
    assert result.volume[..., 2].min() < -50 and abs(result.volume[:2]).max() < 0.05 * one.max()
    assert [one["Frame"] for one in result.record["PerSlice"]][::30] == [0, 1, 2]
    assert result.record["PerSlice"][31]["Flags"] == ["empty"]


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (2, 3)])
def test_narrow_stacks(shape: tuple[int, int], weights: str) -> None:
    volume = thick((14, 14), 5, 4.0, 4.0)[2 : 2 + shape[0], 3 : 3 + shape[1]]
    result = superresolve(volume, np.diag([1, 1, 4, 1.0]), weights=weights, samples=2, slice_axis=2)
    assert result.volume.shape == (*shape, 20) and np.isfinite(result.volume).all()


def test_progress_ends_at_all(weights: str) -> None:
    source = make_image("a", thick((12, 10), 5, 3.0, 3.0), np.diag([1, 1, 3, 1.0]), ())
    told: list[tuple[int, int]] = []
    settings = SuperResolve(isotropic=True, samples=2, steps=2, device="cpu", weights=weights, threads=1)
    from mri_d3gm.runs.model import load

    isotropic(source, settings, load(settings), lambda *pair: told.append(pair))
    assert told[-1] == (2 * 2 * 22, 2 * 2 * 22) and len(told) == told[-1][1]


def test_the_thickness_is_given_or_the_headers_or_the_distance() -> None:
    def stack(options: dict, **source: str) -> Image:
        image = make_image("a", thick((12, 10), 5, 5.0, 5.0), np.diag([1, 1.2, 5, 1.0]), (), source=source)
        return stack_of(image, SuperResolve(isotropic=True, **options))

    known = stack({"thickness": 4.5}, SliceThickness="4")
    assert (known.thickness, known.source, known.voxel, known.in_voxels) == (4.5, "given", 1.0, (5, 5.0, 4.5))
    assert stack({}, SliceThickness="4")[3:] == (4.0, 1.0, "header")
    assert stack({}, SliceThickness="thick")[3:] == stack({})[3:] == (5.0, 1.0, "distance")
    for wrong in (0.3, 30.0):
        with pytest.raises(InputError, match="give their true --thickness"):
            stack({"thickness": wrong})


@pytest.mark.parametrize("axis", [0, 1])
def test_the_headers_thickness_is_that_of_dicoms_own_slices(axis: int, tmp_path: Path) -> None:
    """Wide pixels of slices that are 1 mm thick and apart."""
    spacing = [1.0, 3.0] if axis == 0 else [3.0, 1.0]
    path = write_series(tmp_path / "a", step=1.0, PixelSpacing=spacing, SliceThickness=1.0)
    stack = stack_of(open_image(path), SuperResolve(isotropic=True))
    assert (stack.axis, stack.spacing, stack.thickness, stack.source) == (axis, 3.0, 3.0, "distance")


MEASURES = {"PixelSpacing": [1.5, 0.75], "SliceThickness": 3.0}


@pytest.mark.parametrize("groups", [None, lambda *_: {"PixelMeasuresSequence": MEASURES}])
def test_enhanced_dicom_says_the_thickness_as_the_classic_series_does(groups, tmp_path: Path) -> None:
    """In the functional groups of all frames, or of each."""
    classic = open_image(write_series(tmp_path / "a", step=5.0, SpacingBetweenSlices=5.0))
    enhanced = open_image(write_enhanced(tmp_path / "b.dcm", step=5.0, groups=groups))
    settings = SuperResolve(isotropic=True)
    stack = stack_of(enhanced, settings)
    assert stack == stack_of(classic, settings) and (stack.thickness, stack.source) == (3.0, "header")
    assert warnings(stack) == []


def test_slices_of_several_thicknesses_have_none(tmp_path: Path) -> None:
    def groups(index: int, _: int) -> dict:
        return {"PixelMeasuresSequence": MEASURES | {"SliceThickness": 3.0 + index}}

    image = open_image(write_enhanced(tmp_path / "b.dcm", groups=groups))
    assert stack_of(image, SuperResolve(isotropic=True)).source == "distance" and "SliceThickness" not in image.source


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 2}, "--scale: is not for --isotropic"),
        ({"slices": "1:3"}, "--slices: is not for --isotropic"),
        ({"operator": "unknown"}, "--operator: is not for --isotropic"),
        ({"method": "sinc"}, "--method sinc: is not for --isotropic"),
        ({"isotropic": False, "thickness": 4.0}, "--thickness: .* give --isotropic too"),
        ({"isotropic": False, "profile": "gaussian"}, "--profile: .* give --isotropic too"),
    ],
)
def test_options_that_do_not_go_together(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SuperResolve.of({"isotropic": True} | options)


@pytest.mark.parametrize("method", INTERPOLATIONS)
def test_interpolation_makes_no_values_below_zero_unless_there_are_some(method: str) -> None:
    array = np.where(np.indices((8, 9, 6)).sum(0) % 4 == 0, 100.0, 0.0)
    affine = np.diag([1.0, 1, 3, 1])
    assert superresolve(array, affine=affine, method=method).volume.min() == 0
    assert superresolve(array - 50, affine=affine, method=method).volume.min() <= -50


def test_a_method_that_is_added_is_not_for_isotropic(monkeypatch) -> None:
    entry = next(entry for entry in fields(SuperResolve) if entry.name == "method")
    monkeypatch.setattr(entry, "metadata", entry.metadata | {"choices": (*entry.metadata["choices"], "hann")})
    assert SuperResolve(method="hann").method == "hann"
    with pytest.raises(InputError, match="--method hann: is not for --isotropic"):
        SuperResolve(method="hann", isotropic=True)


def test_what_cannot_become_isotropic_is_one_line() -> None:
    with pytest.raises(InputError, match="3 slices are too few"):
        superresolve(np.ones((10, 10, 3)), np.diag([1, 1, 5, 1.0]), method="cubic")
    with pytest.raises(InputError, match="more than 20 times"):
        superresolve(np.ones((10, 10, 5)), np.diag([1, 1, 21, 1.0]), method="cubic")
    with pytest.raises(InputError, match="isotropic already"):
        superresolve(np.ones((10, 10, 9)), np.diag([1, 1, 1.05, 1.0]), method="cubic")


def test_files_are_written_and_found_again(tmp_path: Path, weights: str) -> None:
    path, affine = tmp_path / "a.nii.gz", np.eye(4)
    affine[:3, :3] = np.linalg.qr(TILTED[:3, :3])[0] * [1, 1, 4]
    nibabel.save(nibabel.Nifti1Image(thick((22, 20), 6, 4.0, 4.0), affine), path)
    settings = SuperResolve(isotropic=True, device="cpu", weights=weights, samples=2, report=True, dicom="classic")
    names = names_of(path, tmp_path)
    record, done = superresolve_file(path, settings, names)
    assert not done and superresolve_file(path, settings, names)[1]
    written, std = open_image(names.result), open_image(names.std)
    assert written.array.shape == std.array.shape == tuple(record["Matrix"])
    np.testing.assert_allclose(spacings(written.affine)[2], spacings(written.affine)[:2].min(), rtol=1e-5)
    assert record["Stack"] | {"Profile": "", "SpacingMillimetres": 0, "ThicknessMillimetres": 0} == {
        "Slices": 6,
        "SpacingMillimetres": 0,
        "ThicknessMillimetres": 0,
        "ThicknessFrom": "distance",
        "GapMillimetres": 0.0,
        "Profile": "",
    }
    assert (
        "--thickness" in record["Warnings"][0] and names.preview.is_file() and "through the slices" in names.report.read_text()
    )
    series = open_image(next(folder for folder in sorted(names.dicom.iterdir()) if folder.name != "std"))
    assert series.array.shape[2] == written.array.shape[2]
    assert float(series.source["SliceThickness"]) == pytest.approx(spacings(written.affine)[2], abs=1e-3)
