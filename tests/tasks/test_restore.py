import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundles import checked
from photographs import photograph
from PIL import Image
from torch.nn.functional import pad

import mri_d3gm
from mri_d3gm.errors import InputError
from mri_d3gm.io.images.pictures import read_picture
from mri_d3gm.methods.pictures import unless_faint
from mri_d3gm.settings import Restore
from mri_d3gm.shipped import shipped
from mri_d3gm.tasks.restore import names_of, restore_file
from mri_d3gm.weather.rain import add_rain

FAST = {"steps": 1, "tile": 192}
restore = partial(mri_d3gm.restore, device="cpu")


def run(path: Path, name: Path, **options: Any) -> dict[str, Any]:
    """The record of a run that writes."""
    return restore_file(path, Restore(device="cpu", **options), names_of(path, name))[0]


@pytest.mark.parametrize("task", ["derain", "dehaze"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_size_channels_and_depth_stay(task: str, mode: str, tmp_path) -> None:
    path = photograph(tmp_path / "a.png", mode=mode)
    name = tmp_path / "out" / "a.png"
    run(path, name, task=task, **FAST)
    result = restore(path, task=task, **FAST)
    assert Image.open(name).mode == mode and Image.open(name).size == (56, 40)
    assert result.image.shape == (40, 56, 3) and result.image.min() >= 0 and result.image.max() <= 1
    record = json.loads((tmp_path / "out" / "a.png.json").read_text())
    assert record["Task"] == task and record["Weights"]["File"] == f"{task}.safetensors"


def test_two_runs_are_identical_and_tiles_do_not_change_the_noise(tmp_path) -> None:
    path = photograph(tmp_path / "a.png", (150, 180))
    whole = restore(path, task="derain", steps=2, tile=512)
    assert np.array_equal(whole.image, restore(path, task="derain", steps=2, tile=512).image)
    tiled = restore(path, task="derain", steps=2, tile=192)
    assert np.abs(whole.image - tiled.image).mean() < 2e-3


def test_two_draws_do_not_care_which_side_is_left(tmp_path) -> None:
    clean = torch.from_numpy(read_picture(photograph(tmp_path / "a.png", (96, 96))).array).permute(2, 0, 1)
    levels = 255 * add_rain(clean, torch.Generator().manual_seed(0), True).clamp(0, 1)
    rainy = Image.fromarray(levels.byte().permute(1, 2, 0).numpy())
    rainy.save(tmp_path / "b.png")
    rainy.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "c.png")

    def difference(samples: int) -> float:
        here, there = (restore(tmp_path / name, task="derain", samples=samples).image for name in ("b.png", "c.png"))
        return float(np.abs(here - there[:, ::-1]).mean())

    assert difference(2) < 0.3 * difference(1)


@pytest.mark.parametrize(("method", "task"), [("identity", "derain"), ("median", "derain"), ("dark-channel", "dehaze")])
def test_methods_without_a_network_run(method: str, task: str, tmp_path) -> None:
    path = photograph(tmp_path / "a.png", (64, 64))
    result = restore(path, task=task, method=method)
    assert run(path, tmp_path / "out" / "a.png", task=task, method=method)["Weights"] is None
    if method == "identity":
        np.testing.assert_allclose(result.image, read_picture(path).array)


@pytest.mark.parametrize("degrade", ["rain-heavy", "rain-light", "haze"])
def test_a_degraded_picture_is_scored_against_the_clean_one(degrade: str, tmp_path) -> None:
    path = photograph(tmp_path / "a.png", (64, 64))
    result = restore(path, task="dehaze" if degrade == "haze" else "derain", degrade=degrade, method="identity")
    np.testing.assert_allclose(result.reference, read_picture(path).array)
    assert result.record["Metrics"] == result.record["MetricsDegraded"]
    assert set(result.record["Metrics"]) == {"y-uint8", "y-crop4", "rgb", "dehaze"}
    assert result.record["Metrics"]["rgb"]["psnr"] < 40


def test_outputs_are_named_skipped_and_refused(tmp_path) -> None:
    path = photograph(tmp_path / "a.png")
    assert names_of(path, tmp_path / "out").result == tmp_path / "out" / "a.png"
    assert names_of(path, "b.jpg").result == Path("b.jpg")
    with pytest.raises(InputError, match="-o takes a folder"):
        names_of(path, "b.nii")
    names, settings = names_of(path, tmp_path / "b.png"), Restore(method="median")
    record, before = restore_file(path, settings, names)
    assert not before and restore_file(path, settings, names) == (json.loads(json.dumps(record)), True)
    for refused in (Restore(method="identity"), Restore(method="dark-channel", task="dehaze")):
        with pytest.raises(InputError, match="--overwrite"):
            restore_file(path, refused, names)
    with pytest.raises(InputError, match="the input itself"):
        restore_file(path, settings, names_of(path, path))


def fail_if_called(*_: Any, **__: Any) -> None:
    raise AssertionError("the work began")


@pytest.mark.parametrize(
    ("name", "output", "options", "said"),
    [
        ("alpha.png", "a.jpg", {}, "JPEG holds no alpha"), ("deep.png", "a.jpg", {}, "JPEG holds 8 bits"),
        ("deep.png", "a.webp", {}, "WEBP holds 8 bits"), ("long.png", "a.webp", {}, "WEBP holds 16383 pixels a side"),
        ("small.png", "a.png", {"degrade": "rain-heavy"}, "cannot be scored"),
        ("small.png", "a.png", {"target": "small.png"}, "cannot be scored"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_before_the_work(
    name: str, output: str, options: dict[str, str], said: str, tmp_path, monkeypatch
) -> None:
    sizes = {"long.png": (8, 16384), "small.png": (18, 30)}
    path = photograph(tmp_path / name, sizes.get(name, (40, 56)), mode="RGBA" if name == "alpha.png" else "RGB")
    if name == "deep.png":
        path.write_bytes(pytest.importorskip("imagecodecs").png_encode(np.zeros((40, 56, 3), np.uint16)))
    files = {key: str(path) for key in options if key == "target"}
    monkeypatch.setattr("mri_d3gm.pipeline.solve", fail_if_called)
    with pytest.raises(InputError, match=said):
        run(path, tmp_path / output, task="derain", method="median", **(options | files))
    assert not (tmp_path / output).exists()


def test_unknown_tasks_methods_and_targets_are_refused(tmp_path) -> None:
    path, other = photograph(tmp_path / "a.png"), photograph(tmp_path / "b.png", (40, 40))
    for options in ({"task": "colour"}, {"method": "magic"}, {"degrade": "snow"}, {"target": str(other)}, {"colour": 1}):
        with pytest.raises(InputError):
            restore(path, **options)


@pytest.mark.parametrize(("method", "task"), [("median", "dehaze"), ("dark-channel", "derain")])
def test_a_method_of_the_other_task_is_refused(method: str, task: str) -> None:
    with pytest.raises(InputError, match=f"--method {method}: is for --task .*, not {task}; take d3gm"):
        Restore(task=task, method=method)


def test_bundle_is_valid_and_monais_own_command_gives_the_same_picture(tmp_path) -> None:
    path = hidden(photograph(tmp_path / "a.png", (60, 150)))
    root = checked("restoration", path, 3)
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(root / "configs" / "inference.json")]
    options = {"bundle_root": root, "dataset_dir": path, "output": tmp_path / "out", "task": "dehaze", **FAST}
    command += [word for key, value in options.items() for word in (f"--{key}", str(value))]
    subprocess.run(command, check=True, capture_output=True)
    run(path, tmp_path / "mine.png", task="dehaze", **FAST)
    mine = restore(path, task="dehaze", **FAST)
    assert np.array_equal(read_picture(tmp_path / "out" / "hidden.png").array, read_picture(tmp_path / "mine.png").array)
    assert np.abs(read_picture(tmp_path / "mine.png").array - mine.image).max() < 0.51 / 255


LAYOUTS = {
    "rain100h": ("RainTrainH/rain-{}.png", "RainTrainH/norain-{}.png", "Rain100H/rain-{}.png", "Rain100H/norain-{}.png"),
    "rain100l": ("RainTrainL/rain-{}.png", "RainTrainL/norain-{}.png", "Rain100L/rain-{}.png", "Rain100L/norain-{}.png"),
    "rain200h": ("train/input/{}x2.png", "train/target/{}.png", "test/input/{}x2.png", "test/target/{}.png"),
    "o-haze": ("hazy/{}_outdoor_hazy.jpg", "GT/{}_outdoor_GT.jpg", None, None),
    "dense-haze": ("hazy/{}_hazy.png", "GT/{}_GT.png", None, None),
    "nh-haze": ("{}_hazy.png", "{}_GT.png", None, None),
    "reside-indoor": ("ITS/hazy/{}_1_0.8.png", "ITS/clear/{}.png", "SOTS/indoor/hazy/{}_2.png", "SOTS/indoor/gt/{}.png"),
}


@pytest.mark.parametrize("protocol", LAYOUTS)
def test_protocols_go_from_a_folder_in_their_layout_to_the_row(protocol: str, tmp_path) -> None:
    """Tiny folders named as the downloads are: trained two steps on the training pairs, scored on the test pairs."""
    from mri_d3gm.lab.benchmark import protocol_of, run_benchmark
    from mri_d3gm.tasks.train import train

    data = tmp_path / "data"
    train_count = {"o-haze": 45, "dense-haze": 55, "nh-haze": 55}.get(protocol, 3)
    for number in range(1, train_count + 1):
        for template in LAYOUTS[protocol]:
            if template is not None:
                path = data / template.format(f"{number:02d}" if "haze" in protocol else number)
                path.parent.mkdir(parents=True, exist_ok=True)
                photograph(path, (24, 32), seed=number)
    overlay = tmp_path / "tiny.json"
    settings = json.loads(shipped("configs", f"{protocol}.json").read_text())
    options = {"features": 8, "levels": 2, "blocks": 1, "channels": 3}
    network = {"_target_": "mri_d3gm.training.grow.seeded_denoiser", "seed": 0, "network": "nafnet", "options": options}
    small = {"network_def": network, "train#trainer#steps": 2, "train#simulate#crop": 16}
    overlay.write_text(json.dumps(settings | small))
    train(str(overlay), str(data), str(tmp_path / "run"), "cpu")
    weights = {"weights": str(tmp_path / "run" / "weights.safetensors"), **FAST}
    table = run_benchmark("restoration", data, tmp_path / "table", protocol_of(str(overlay)), ["identity", "d3gm"], weights)
    assert [row["method"] for row in table] == ["identity", "d3gm"]
    assert table[0]["files"] == (5 if "haze" in protocol else 3)
    assert table[0]["y-uint8 psnr"] == pytest.approx(np.inf) or table[0]["y-uint8 psnr"] > 40


def hidden(path: Path) -> Path:
    """The picture of a file in a black frame and at half its brightness, half of it transparent, and black there."""
    levels = np.pad(np.asarray(Image.open(path)) // 2, ((8, 8), (8, 8), (0, 0)))
    alpha = np.where(np.arange(levels.shape[1]) < levels.shape[1] // 2, 0, 255)[None].repeat(len(levels), 0)
    levels[alpha == 0] = 0
    Image.fromarray(np.dstack([levels, alpha]).astype(np.uint8)).save(path.with_name("hidden.png"))
    return path.with_name("hidden.png")


@pytest.mark.parametrize(("task", "degrade"), [("derain", "rain-heavy"), ("dehaze", "haze")])
def test_what_frames_transparency_and_exposure_hide_is_restored(task: str, degrade: str, tmp_path) -> None:
    clean = read_picture(photograph(tmp_path / "a.png", (120, 160))).array
    bad = restore(tmp_path / "a.png", task=task, degrade=degrade, index=6, method="identity").image
    Image.fromarray((255 * bad).round().astype(np.uint8)).save(tmp_path / "bad.png")
    path = hidden(tmp_path / "bad.png")
    seen, before = restore(path, task=task).image, read_picture(path).array
    part = np.s_[8:-8, 88:-8]
    now, then = (np.square(2 * image[part] - clean[:, 80:]).mean() for image in (seen, before))
    assert now < 0.5 * then
    outside = np.ones(before.shape[:2], bool)
    outside[part] = False
    assert np.array_equal(seen[outside], before[outside])


@pytest.mark.parametrize("method", ["d3gm", "regression"])
def test_a_picture_without_rain_comes_back_as_it_is(method: str, tmp_path) -> None:
    path = photograph(tmp_path / "a.png", (120, 160))
    np.testing.assert_array_equal(restore(path, task="derain", method=method).image, read_picture(path).array)
    assert "MetricsDegraded" in restore(path, task="derain", method=method, degrade="rain-light").record
    assert not np.array_equal(restore(path, task="derain", method=method, degrade="rain-light").image, read_picture(path).array)


def test_the_record_says_what_was_removed(tmp_path) -> None:
    path = photograph(tmp_path / "a.png", (120, 160))
    same = restore(path, task="derain").record
    assert same["Unchanged"] is True and same["Removed"] == 0
    result = restore(path, task="derain", degrade="rain-heavy")
    removed = np.sqrt(np.square(result.image - result.degraded).mean())
    assert result.record["Unchanged"] is False and result.record["Removed"] == pytest.approx(removed, abs=1e-4)


def test_next_to_nothing_is_left_where_it_is() -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(3, 3, 20, 30, generator=generator)
    removed = torch.tensor([0.9, 1.5, 2.1])[:, None, None, None] * 0.01 * torch.ones(3, 3, 20, 30)
    found = unless_faint(pictures - removed, pictures, 0.01)
    assert torch.equal(found[0], pictures[0]) and torch.equal(found[2], (pictures - removed)[2])
    torch.testing.assert_close(found[1], (pictures - removed / 2)[1])


def test_what_was_removed_is_judged_within_a_flat_border() -> None:
    pictures = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0)).clamp(max=0.9)
    removed = 0.03 * torch.ones_like(pictures)
    wide = (200, 200, 200, 200)
    bordered = pad(pictures, wide, value=1.0)
    found = unless_faint(bordered - pad(removed, wide), bordered, 0.01)
    assert torch.equal(found[..., 200:-200, 200:-200], pictures - removed)
    faint = unless_faint(bordered - 0.009, bordered, 0.01)
    assert torch.equal(faint, bordered)


@pytest.mark.parametrize("turned", [False, True])
def test_a_ramp_without_texture_comes_back_as_it_is(turned: bool) -> None:
    ramp = np.repeat(np.linspace(0.1, 0.9, 256, dtype=np.float32)[None, :, None], 192, 0)
    ramp = np.round(255 * ramp) / np.float32(255)
    assert restore(ramp.swapaxes(0, 1) if turned else ramp, task="dehaze").record["Unchanged"]
