"""The pipeline as functions, and that every way in gives the same bits."""

import subprocess
import sys
import time
from functools import partial
from threading import Lock
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from scans import four_coils, phantom, write_scan

import mri_d3gm
from mri_d3gm import pipeline
from mri_d3gm.compute import in_parallel
from mri_d3gm.errors import InputError
from mri_d3gm.inferers import SettingsInferer
from mri_d3gm.io.open_scan import scan_of_array
from mri_d3gm.methods import METHODS, diffusion
from mri_d3gm.methods.draws import Draws
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.physics import Unknown, masks
from mri_d3gm.settings import LEARNED, Recon, Restore, Settings, SuperResolve
from mri_d3gm.shipped import shipped
from mri_d3gm.tasks import recon, restore, sr
from mri_d3gm.tasks.bundles import open_bundle

FAST = {"steps": 1, "samples": 2}
LINES = (np.arange(64) % 3 == 0) | (abs(np.arange(64) - 32) < 6)
reconstruct = partial(mri_d3gm.reconstruct, device="cpu")


def coils_of(count: int) -> np.ndarray:
    """K-space of the first of four coils, or of as many mixtures of them."""
    if count <= 4:
        return four_coils()[:, :count]
    mixing = np.random.default_rng(2).normal(size=(count, 4, 2)) @ [1, 1j]
    return np.einsum("cv,svyx->scyx", mixing, four_coils()).astype(np.complex64)


@pytest.mark.parametrize("coils", [1, 4, 16])
def test_an_array_a_file_the_command_and_monai_give_the_same_bits(coils: int, tmp_path) -> None:
    kspace = coils_of(coils) * LINES
    path = write_scan(tmp_path / "a.h5", kspace, mask=LINES)
    result = reconstruct(kspace, LINES, **FAST)
    options = ["--device", "cpu", "--steps", "1", "--samples", "2"]
    subprocess.run([sys.executable, "-m", "mri_d3gm", "recon", path, "-o", tmp_path / "command", *options], check=True)
    root = shipped("pipelines", "reconstruction")
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(root / "configs" / "inference.json")]
    options = {"bundle_root": root, "dataset_dir": path, "output": tmp_path / "bundle", **FAST}
    command += [word for key, value in options.items() for word in (f"--{key}", str(value))]
    subprocess.run(command, check=True, capture_output=True)
    for folder in ("command", "bundle"):
        for name, array in {"a_recon": result.volume, "a_recon_std": result.std}.items():
            written = nibabel.load(tmp_path / folder / f"{name}.nii.gz")
            assert np.array_equal(np.asarray(written.dataobj).transpose(2, 1, 0), array)
    assert np.array_equal(reconstruct(path, **FAST).volume, result.volume)


@pytest.mark.parametrize("method", [name for name in METHODS[Recon] if name not in LEARNED])
def test_methods_without_a_network_are_for_k_space(method: str) -> None:
    with pytest.raises(InputError, match=f"--method {method}: is for k-space, and this is Unknown"):
        pipeline.solve(Unknown(torch.ones(1, 16, 16, dtype=torch.complex64)), None, Recon(method=method))


@pytest.mark.parametrize("options", [{"trust": "full", **FAST}, {"slices": "1", **FAST}, {"method": "regression"}])
def test_threads_do_not_change_a_bit(options: dict[str, Any]) -> None:
    one, two, many = (reconstruct(four_coils(), accel=4, threads=count, **options) for count in (1, 2, 3))
    for other in (two, many):
        assert np.array_equal(one.volume, other.volume) and np.array_equal(one.std, other.std)
        assert one.record["Trust"] == other.record["Trust"] and one.record["Noise"] == other.record["Noise"]


def test_threads_do_not_change_a_bit_of_superresolution() -> None:
    image = 300 * phantom(3, 20, 24).transpose(1, 2, 0)
    for slices in (None, "1"):
        one, two = (mri_d3gm.superresolve(image, scale=2, slices=slices, threads=n, device="cpu", **FAST) for n in (1, 2))
        assert np.array_equal(one.volume, two.volume) and np.array_equal(one.std, two.std)


def prepared_recon(coils: int) -> tuple[pipeline.Prepared, pipeline.Prepared]:
    kspace = np.concatenate([four_coils(), 2.5 * four_coils()[:1, :, :, ::-1]])[:, :coils].astype(np.complex64)
    mask = torch.from_numpy(LINES)[None]
    kspace = torch.from_numpy(kspace)
    return pipeline.prepare(kspace, mask), pipeline.prepare(kspace[1:2], mask)


SHAPES = {
    "(cols,)": LINES,
    "(1, cols)": LINES[None],
    "(rows, 1)": (np.arange(72) % 2 == 0)[:, None] | (abs(np.arange(72) - 36) < 8)[:, None],
    "(rows, cols)": (np.random.default_rng(0).random((72, 64)) < 0.4) | (LINES & (abs(np.arange(72) - 36) < 8)[:, None]),
    "numbers": LINES * 3.0,
}


@pytest.mark.parametrize("coils", [1, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_masks_of_every_shape_are_prepared_as_reconstruct_has_them(shape: str, coils: int) -> None:
    mask, kspace = SHAPES[shape], four_coils()[:1, :coils]
    prepared = pipeline.prepare(torch.as_tensor(kspace), torch.as_tensor(mask))
    settings = Recon(device="cpu", trust="off", **FAST)
    draws = pipeline.solve(prepared.measurement, recon.load(settings), settings)
    finished = pipeline.finish(draws, prepared.scale, prepared.noise)
    whole = reconstruct(kspace * (mask != 0), mask, trust="off", **FAST)
    np.testing.assert_allclose(finished.images, whole.volume, rtol=1e-3, atol=1e-4 * whole.volume.max())


@pytest.mark.parametrize("shape", [(), (63,), (72,), (1, 1, 64), (2, 64)])
def test_masks_of_other_shapes_are_one_line(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"mask: shape .*; \(cols,\), \(1, cols\), \(rows, 1\) or \(72, 64\) is needed"):
        pipeline.prepare(torch.as_tensor(four_coils()), torch.ones(shape, dtype=torch.bool))


def prepared_sr(operator: str) -> tuple[pipeline.Prepared, pipeline.Prepared]:
    settings = SuperResolve(scale=2, operator=operator)
    images = torch.from_numpy(300 * phantom(3, 20, 24)).float()
    return pipeline.prepare_low_resolution(images, settings), pipeline.prepare_low_resolution(images[1:2], settings)


def prepared_pictures() -> tuple[pipeline.Prepared, pipeline.Prepared]:
    pictures = torch.from_numpy(phantom(9, 40, 48)).float().reshape(3, 3, 40, 48) / 8
    return pipeline.prepare_picture(pictures), pipeline.prepare_picture(pictures[1:2])


BATCHES: dict[str, tuple[Any, Any, Settings]] = {
    "one coil": (recon, lambda: prepared_recon(1), Recon(trust="full", device="cpu", **FAST)),
    "four coils": (recon, lambda: prepared_recon(4), Recon(trust="full", device="cpu", **FAST)),
    "two evaluations": (recon, lambda: prepared_recon(4), Recon(steps=2, samples=1, device="cpu", solver="multistep-sde")),
    "regression": (recon, lambda: prepared_recon(4), Recon(method="regression", device="cpu")),
    "pocs": (recon, lambda: prepared_recon(4), Recon(method="pocs")),
    "zero-filled": (recon, lambda: prepared_recon(4), Recon(method="zero-filled")),
    "truncation": (sr, lambda: prepared_sr("truncation"), SuperResolve(scale=2, device="cpu", **FAST)),
    "unknown": (sr, lambda: prepared_sr("unknown"), SuperResolve(scale=2, device="cpu", **FAST)),
    "cubic": (sr, lambda: prepared_sr("truncation"), SuperResolve(scale=2, method="cubic")),
    "derain": (restore, prepared_pictures, Restore(device="cpu", steps=2, tile=192)),
    "median": (restore, prepared_pictures, Restore(method="median")),
}


@pytest.mark.parametrize("case", BATCHES)
def test_a_batch_of_three_is_three_of_one(case: str) -> None:
    task, prepare, settings = BATCHES[case]
    network = task.load(settings) if settings.method in ("d3gm", "regression") else None
    together, alone = (
        pipeline.finish(pipeline.solve(part.measurement, network, settings, indices), part.scale, part.noise)
        for part, indices in zip(prepare(), ([4, 7, 9], [7]), strict=True)
    )
    for three, one in zip(together[:2], alone[:2], strict=True):
        assert (three is None) == (one is None)
        if three is not None:
            assert len(three) == 3 and one.any()
            np.testing.assert_allclose(three[1], one[0], rtol=0, atol=1e-5 * np.abs(alone.images).max())


@pytest.mark.parametrize("case", [name for name, (*_, settings) in BATCHES.items() if settings.method in LEARNED])
def test_a_measurement_goes_to_the_device_of_its_network(case: str, monkeypatch) -> None:
    _, prepare, settings = BATCHES[case]
    monkeypatch.setitem(METHODS[type(settings)], settings.method, lambda measurement, *_, **__: measurement)
    known = prepare()[0].measurement
    for device in ("meta", "cpu"):
        network = Denoiser("nafnet", {"features": 4, "levels": 1}).to(device)
        for there in (pipeline.solve(known, network, settings), SettingsInferer(settings)(None, network, known)):
            assert {tensor.device.type for tensor in there.tensors().values()} == {device}


class Elsewhere(torch.Tensor):
    """A tensor that numpy cannot have before it comes to the CPU, as those of a GPU are."""

    def numpy(self, **_: Any) -> np.ndarray:
        raise TypeError("can't convert a tensor of another device to numpy")

    def cpu(self, **_: Any) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)


@pytest.mark.parametrize("coils", [1, 4, 20])
def test_data_on_another_device_are_prepared_there(coils: int) -> None:
    kspace, mask = torch.from_numpy(coils_of(coils)), torch.from_numpy(LINES)[None]
    images, settings = torch.from_numpy(phantom(2, 20, 24)).float(), SuperResolve(scale=2)
    for prepare, data in (
        (partial(pipeline.prepare, mask=mask), kspace),
        (partial(pipeline.prepare_low_resolution, settings=settings), images),
    ):
        there, here = prepare(data.as_subclass(Elsewhere)), prepare(data)
        assert np.array_equal(there.scale, here.scale)
        assert torch.equal(there.measurement.kspace.cpu(), here.measurement.kspace)


@pytest.mark.parametrize("draws", [1, 3])
def test_without_calibration_the_std_is_that_of_the_draws_or_what_was_predicted(draws: int) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, draws, 8, 6, dtype=torch.complex64, generator=generator)
    error = torch.rand(2, 8, 6, generator=generator)
    scale = np.array([2.0, 3.0])
    std = pipeline.finish(Draws(images, 1, error=error), scale, calibrate=None).std
    wanted = error if draws == 1 else images.abs().std(1, correction=0)
    np.testing.assert_allclose(std, wanted.numpy() * scale[:, None, None], rtol=1e-5)
    assert (std > 0).all() and (pipeline.finish(Draws(images, 1, error=error), scale).std > 0).all()
    assert (pipeline.finish(Draws(images, 1), scale, calibrate=None).std is None) == (draws == 1)


@pytest.mark.parametrize("trust", ["off", "fast", "full"])
@pytest.mark.parametrize(("steps", "samples"), [(1, 1), (2, 3)])
def test_evaluations_are_those_of_the_network(steps: int, samples: int, trust: str, monkeypatch) -> None:
    calls, evaluate = [], Denoiser.estimates

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        return evaluate(*arguments, **options)

    monkeypatch.setattr(Denoiser, "estimates", counted)
    told: list[tuple[int, int]] = []
    settings = Recon(accel=4, steps=steps, samples=samples, trust=trust, slices="0", device="cpu", threads=1)
    record = recon.reconstruct(scan_of_array(four_coils()), settings, progress=lambda *counts: told.append(counts)).record
    passes = 1 if samples == 1 else 2  # to calibrate again, since the centre has few lines
    assert record["Evaluations"] == len(calls) == passes + steps * samples + {"off": 0, "fast": 1, "full": 4}[trust]
    assert told == [(done, len(calls)) for done in range(1, len(calls) + 1)]


def test_evaluations_of_several_threads_are_counted_each(monkeypatch) -> None:
    """Others count while one is at it."""

    def slowly(*numbers: int) -> int:
        time.sleep(0.01)
        return min(numbers)

    monkeypatch.setattr(diffusion, "min", slowly, raising=False)
    told: list[int] = []
    settings = Recon(steps=2, samples=8, trust="off", device="cpu")
    known, network = prepared_recon(1)[1].measurement, Denoiser("nafnet", {"features": 4, "levels": 1}).eval()
    run = partial(in_parallel, threads=4)
    pipeline.solve(known, network, settings, run=run, progress=lambda done, _: told.append(done))
    assert sorted(told) == list(range(1, 17))


@pytest.mark.parametrize("kind", ["poisson-2d", "gaussian"])
def test_the_mask_of_a_volume_is_drawn_once(kind: str, monkeypatch, tmp_path) -> None:
    drawn, registry = [], masks.MASKS_2D if kind in masks.MASKS_2D else masks.MASKS_1D
    draw = registry[kind]
    monkeypatch.setitem(registry, kind, lambda *arguments: drawn.append(1) or draw(*arguments))
    options = {"mask_kind": kind, "accel": 4, "method": "zero-filled", "seed": 12345}
    assert reconstruct(four_coils(), **options).record["Slices"] == 2
    assert len(drawn) == 1
    path = write_scan(tmp_path / "a.h5", four_coils(80, 64))
    root = shipped("pipelines", Recon.bundle)
    open_bundle(root, "inference.json", "inference", dataset_dir=str(path), **options).run()
    assert len(drawn) == 2


@pytest.mark.parametrize(("slices", "threads", "at_once"), [(6, 4, 4), (3, 8, 6), (1, 4, 4)])
def test_slices_and_their_draws_fill_the_threads(slices: int, threads: int, at_once: int, monkeypatch) -> None:
    """Two draws and a withheld fold each: of three slices on eight threads, two parts of each go at a time."""
    running, most, lock = 0, 0, Lock()
    evaluate = Denoiser.estimates

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        try:
            return evaluate(*arguments, **options)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(Denoiser, "estimates", counted)
    kspace = np.concatenate([four_coils()[:1]] * slices)
    reconstruct(kspace, accel=4, samples=4, steps=1, device="cpu", threads=threads)
    assert at_once - 1 <= most <= at_once


def test_a_bundle_takes_slices_in_any_batch_and_runs_again(tmp_path) -> None:
    kspace = np.concatenate([four_coils(), 1.2 * four_coils()[:1]])
    path, root = write_scan(tmp_path / "a.h5", kspace.astype(np.complex64)), shipped("pipelines", Recon.bundle)
    results = []
    for size in (1, 2):
        overrides = {"dataset_dir": str(path), "accel": 4, "quality": "fast", "dataloader#batch_size": size}
        workflow = open_bundle(root, "inference.json", "inference", **overrides)
        for _ in range(2):
            workflow.run()
            results.append(workflow.parser.get_parsed_content("gatherer").result)
    for result in results:
        assert result.volume.shape == (3, 72, 64) and result.record["Slices"] == 3
        np.testing.assert_allclose(result.volume, results[0].volume, atol=1e-5 * results[0].volume.max())


def test_what_did_not_run_is_not_counted_nor_claimed() -> None:
    full = reconstruct(four_coils(), accel=1, trust="full", samples=2, steps=1, device="cpu").record
    assert full["Evaluations"] == 2 and full["Trust"]["WithheldSamples"] == 0
    for method in ("zero-filled", "regression"):
        assert reconstruct(four_coils(), accel=4, method=method, device="cpu").record["Trust"]["Mode"] == "off"
