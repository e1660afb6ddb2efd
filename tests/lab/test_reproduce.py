import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from photographs import photograph
from scans import fft2c, phantom, write_scan

from mri_d3gm.errors import InputError
from mri_d3gm.lab.reproduce import OVERLAYS, PAPER, next_to_paper, plan, reproduce
from mri_d3gm.tasks.bundles import overlay_keys

BANDS = {"train#simulate#crop": 24, "train#simulate#rows": 16, "train#simulate#cols": 48}
QUICK = {"train#trainer#steps": 2, "network_def#options": {"blocks": 1, "features": 8}}
FEW = {"sampling": {"steps": 2, "samples": 1}}
KNEE = QUICK | BANDS | {"sampling": {"steps": 2, "samples": 1, "trust": "off"}}


def knees(folder: Path) -> Path:
    for part in ("train", "val"):
        (folder / f"singlecoil_{part}").mkdir()
        write_scan(folder / f"singlecoil_{part}" / "a.h5", fft2c(phantom(2, 64, 64) + 0.01))
    return folder


def ixi(folder: Path) -> Path:
    for number in range(10):
        volume = 500 * phantom(3, 32, 32).transpose(1, 2, 0) * (1 + number / 10)
        nibabel.save(nibabel.Nifti1Image(volume.astype(np.float32), np.eye(4)), folder / f"IXI{number:03d}-HH-1-T2.nii.gz")
    for site in ("Guys", "IOP"):
        nibabel.save(nibabel.Nifti1Image(volume.astype(np.float32), np.eye(4)), folder / f"IXI100-{site}-1-T2.nii.gz")
    return folder


def rain(folder: Path) -> Path:
    for part in ("RainTrainH", "Rain100H"):
        (folder / part).mkdir()
        for number, name in enumerate(("rain-1.png", "norain-1.png", "rain-2.png", "norain-2.png")):
            photograph(folder / part / name, (24, 32), seed=number)
    return folder


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_plan_tells_what_is_needed_without_any_data(name: str, tmp_path) -> None:
    for data in (None, tmp_path):
        text = plan(name, data)
        assert all(word in text for word in ("train ", "test ", "steps", "hours of one core", "GPU", "protocol: ", PAPER))
        assert ("not looked for" if data is None else "not found") in text
    protocol = overlay_keys(OVERLAYS[name])["protocol"]
    assert protocol in (Path(__file__).parents[2] / "docs" / "protocols.md").read_text()


def test_a_plan_counts_the_files_that_are_there(tmp_path) -> None:
    text = plan("fastmri-8x", knees(tmp_path))
    assert text.count("1 found") == 3 and "zero-filled 22.74 / .678" in text
    assert "3 x 10000 steps: tau 1, tau 2, tau 4" in plan("tau", None) and "not known" in plan("tau", None)


def test_reconstruction_runs_from_the_folder_to_the_papers_figures_and_is_not_repeated(tmp_path) -> None:
    data, rows = knees(tmp_path), []
    text = reproduce("fastmri-8x", data, tmp_path / "out", rows.append, **KNEE)
    assert [(row["method"], row["axis"]) for row in rows] == [
        (method, axis) for axis in ("phase", "readout") for method in ("zero-filled", "regression", "d3gm")
    ]
    assert "`slice-max`" in text and "trained 2 of 2 steps" in text and "slice-max ssim_range2" in text
    with open(tmp_path / "out" / "table.csv", newline="") as file:
        paper = {row["method"]: row[PAPER] for row in csv.DictReader(file)}
    assert paper == {"zero-filled": "22.74 / .678", "regression": "not known", "d3gm": "27.92 / .740"}
    again: list[dict] = []
    assert reproduce("fastmri-8x", data, tmp_path / "out", again.append, **KNEE) == text and not again


@pytest.mark.parametrize("minutes", [None, 0])
def test_weights_of_another_training_are_refused_and_not_measured(minutes: float | None, tmp_path) -> None:
    data, rows = knees(tmp_path), []
    reproduce("fastmri-8x", data, tmp_path / "out", print, **KNEE | {"train#trainer#steps": 1}, methods=["zero-filled"])
    for other in ({"train#trainer#steps": 0}, {"train#simulate#crop": 16}):
        with pytest.raises(InputError, match="d3gm: holds another training"):
            reproduce("fastmri-8x", data, tmp_path / "out", rows.append, max_minutes=minutes, **KNEE | other)
    assert not rows


def test_super_resolution_and_restoration_run_from_their_folders(tmp_path) -> None:
    for name, make, changes, methods in (
        ("ixi-sr", ixi, QUICK | FEW | {"train#simulate#crop": 32}, ("sinc", "regression", "d3gm")),
        ("rain100h", rain, FEW | SMALL_PICTURES, ("identity", "regression", "d3gm")),
    ):
        data = tmp_path / name
        data.mkdir()
        rows: list[dict] = []
        text = reproduce(name, make(data), tmp_path / "out" / name, rows.append, **changes)
        assert {row["method"] for row in rows} == set(methods) and overlay_keys(name)["protocol"] in text
        assert all(figure in text for figure in overlay_keys(name)["paper"].values())


SMALL_PICTURES = {
    "train#trainer#steps": 2,
    "train#simulate#crop": 16,
    "network_def#options": {"features": 8, "levels": 2, "blocks": 1, "channels": 3},
}


@pytest.mark.parametrize("name", ["schedules", "tau", "lipschitz"])
def test_ablations_train_each_variant_into_its_own_folder(name: str, tmp_path) -> None:
    variants = overlay_keys(OVERLAYS[name])["variants"]
    one = dict(list(variants.items())[-2:])
    text = reproduce(name, knees(tmp_path), tmp_path / "out", lambda row: None, variants=one, **KNEE)
    assert all(f"| {variant} |" in text for variant in one) and "nan" not in text
    weights = [path.read_bytes() for path in (tmp_path / "out").glob("*/weights.safetensors")]
    assert len(set(weights)) == 2


def test_the_basin_starts_from_a_guess_at_each_time(tmp_path) -> None:
    starts = [
        {"guess": guess, "t0": t0, "steps": 2} for guess, t0 in (("sense", 0.2), ("regression", 0.5), ("zero-filled", 1.0))
    ]
    text = reproduce("basin", knees(tmp_path), tmp_path / "out", lambda row: None, starts=starts, **KNEE)
    with open(tmp_path / "out" / "table.csv", newline="") as file:
        table = [(row["guess"], row["t0"], row["axis"], float(row["evaluations"])) for row in csv.DictReader(file)]
    assert table == [
        (guess, t0, axis, count)
        for guess, t0, count in (("sense", "0.2", 2), ("regression", "0.5", 3), ("zero-filled", "1.0", 2))
        for axis in ("phase", "readout")
    ]
    assert "sense at t0 0.2, 2 evaluations" in text
    with pytest.raises(InputError, match="0 < t0"):
        reproduce("basin", tmp_path, tmp_path / "out", print, starts=[{"guess": "sense", "t0": 0, "steps": 1}], **KNEE)


def test_no_time_left_measures_nothing_and_says_so(tmp_path) -> None:
    text = reproduce("tau", knees(tmp_path), tmp_path / "out", print, max_minutes=0, **KNEE)
    assert text.count("trained 0 of 2 steps") == 3 and "(no rows)" in text


def test_figures_of_others_and_of_domains_stand_where_they_belong() -> None:
    keys = {"protocol": "rgb", "paper": {"A d3gm": "1 / 2", "IR-SDE": "3 / 4"}}
    rows = [{"domain": domain, "method": "d3gm", "rgb psnr": 20.0, "y-uint8 psnr": 21.0} for domain in ("A", "B")]
    assert next_to_paper(rows, keys) == [
        {"domain": "A", "method": "d3gm", "rgb psnr": 20.0, PAPER: "1 / 2"},
        {"domain": "B", "method": "d3gm", "rgb psnr": 20.0, PAPER: "not known"},
        {"method": "IR-SDE (paper)", PAPER: "3 / 4"},
    ]
    assert next_to_paper([{"method": "d3gm", "rgb psnr": 20.0}], {"protocol": "rgb", "paper": {"d3gm": "1 / 2"}}) == [
        {"method": "d3gm", "rgb psnr": 20.0, PAPER: "1 / 2"}
    ]


def test_an_overlay_says_what_those_that_it_extends_say(tmp_path) -> None:
    (tmp_path / "new.json").write_text(json.dumps({"extends": "rain100h", "protocol": "rgb"}))
    keys = overlay_keys(str(tmp_path / "new.json"))
    assert keys["protocol"] == "rgb" and keys["pipeline"] == "restoration" and keys["domains"]


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(InputError, match="one of fastmri-8x"):
        plan("fastmri-32x", None)
