import json

import pytest
from photographs import photograph
from scans import fft2c, phantom, write_scan

from mri_d3gm.dynamics import DYNAMICS
from mri_d3gm.errors import InputError
from mri_d3gm.lab import compare
from mri_d3gm.lab.compare import ORDER, compare_dynamics, ordering, over_seeds, settings
from mri_d3gm.tasks.train import train

TINY = {
    "pipeline": "restoration",
    "task": "derain",
    "sources": [{"glob": "*.png"}],
    "domains": [{"domain": "rain", "degrade": "rain-light", "glob": "*.png"}],
    "network_def#options": {"features": 8, "levels": 2, "blocks": 1, "channels": 3},
    "train#trainer#steps": 3,
    "train#trainer#spread_after": 0.0,
    "train#simulate#crop": 16,
}

ONE = {"dynamics": ["ou"], "seeds": [0], "evaluations": [1]}


def overlay(folder, **changes):
    photograph(folder / "a.png")
    path = folder / "tiny.json"
    path.write_text(json.dumps(TINY | changes))
    return str(path)


def test_every_contender_is_trained_once_and_stands_in_the_table(tmp_path) -> None:
    config, rows = overlay(tmp_path), []
    output = tmp_path / "compare"
    chosen = {"dynamics": ["regression", "ou", "d3gm"], "seeds": [0, 1], "evaluations": [1, 2]}
    table = compare_dynamics(config, tmp_path, output, **chosen, on_row=rows.append)
    lines = [(line["dynamics"], line["evaluations"], line["seeds"]) for line in table]
    assert lines[0] == ("identity", 0, 1)
    assert lines[1:] == [("regression", 1, 2), ("ou", 1, 2), ("ou", 2, 2), ("d3gm", 1, 2), ("d3gm", 2, 2)]
    assert len(rows) == 11 and (output / "table.md").read_text().count("\n") == 8
    assert "psnr_std" not in table[0] and table[1]["psnr_std"] >= 0 and table[1]["ssim_std"] >= 0
    weights = [(output / f"{name}-0" / "weights.safetensors").read_bytes() for name in ("regression", "ou", "d3gm")]
    assert len(set(weights)) == 3
    kept = output / "d3gm-0" / "weights.safetensors"
    written, again = kept.stat().st_mtime_ns, []
    table = compare_dynamics(config, tmp_path, output, **ONE | {"dynamics": ["d3gm"]}, on_row=again.append)
    assert table[1]["evaluations"] == 1 and not again
    assert kept.stat().st_mtime_ns == written


def test_reconstruction_is_compared_on_kspace_and_reported(tmp_path) -> None:
    for name in ("a", "b"):
        write_scan(tmp_path / f"{name}.h5", fft2c(phantom(2, 64, 64) + 0.01))
    changes = {
        "pipeline": "reconstruction",
        "sources": [{"glob": "a.h5"}],
        "domains": [{"domain": "phantom", "glob": "b.h5", "accel": 4}],
        "network_def#options": {"blocks": 1, "features": 8},
        "sampling": {"samples": 2, "trust": "off"},
        "train#trainer#steps": 2,
        "train#simulate#crop": 24,
        "train#simulate#rows": 16,
        "train#simulate#cols": 48,
    }
    config, rows, output = overlay(tmp_path, **changes), [], tmp_path / "out"
    chosen = {"dynamics": ["d3gm", "sgm-vp"], "seeds": [0, 1], "evaluations": [1, 2]}
    table = compare_dynamics(config, tmp_path, output, **chosen, on_row=rows.append)
    assert [(line["dynamics"], line["evaluations"]) for line in table] == [
        *[("zero-filled", 0), ("d3gm", 1), ("d3gm", 2), ("sgm-vp", 1), ("sgm-vp", 2)]
    ]
    assert len(rows) == 2 + 2 * 2 * 2 * 2, "two axes of one file for each contender, seed and count of evaluations"
    assert {row["axis"] for row in rows} == {"phase", "readout"} and all(line["files"] == 1 for line in table)
    text = (output / "report.md").read_text()
    assert "2 steps" in text and "Seeds 0, 1" in text and "slices.png" in text and "samples 2, trust off" in text
    before, again = (output / "slices.png").read_bytes(), []
    compare_dynamics(config, tmp_path, output, **chosen, on_row=again.append)
    assert not again and (output / "slices.png").read_bytes() == before


OTHERS = {
    "train#trainer#steps": {"train#trainer#steps": 2},
    "sources": {"sources": [{"glob": "a.png"}, {"glob": "a.png"}]},
    "network_def#options#features": {"network_def#options": TINY["network_def#options"] | {"features": 16}},
}


@pytest.mark.parametrize("differs", OTHERS)
def test_a_finished_training_of_another_overlay_is_not_taken_for_ones_own(differs: str, tmp_path) -> None:
    compare_dynamics(overlay(tmp_path), tmp_path, tmp_path / "out", **ONE)
    kept = {path: path.read_bytes() for path in (tmp_path / "out").glob("*.md")}
    with pytest.raises(InputError, match=rf"ou-0: holds another training, which differs in .*{differs[:5]}"):
        compare_dynamics(overlay(tmp_path, **OTHERS[differs]), tmp_path, tmp_path / "out", **ONE)
    assert all(path.read_bytes() == content for path, content in kept.items())


def test_a_finished_training_on_other_data_or_of_which_nothing_is_known_is_not_taken(tmp_path) -> None:
    config, other = overlay(tmp_path), tmp_path / "other"
    compare_dynamics(config, tmp_path, tmp_path / "out", **ONE)
    other.mkdir()
    photograph(other / "a.png", seed=7)
    with pytest.raises(InputError, match=r"differs in .*data"):
        compare_dynamics(config, other, tmp_path / "out", **ONE)
    (tmp_path / "out" / "ou-0" / "checkpoint.pt").unlink()
    with pytest.raises(InputError, match=r"weights without checkpoint\.pt"):
        compare_dynamics(config, tmp_path, tmp_path / "out", **ONE)


def test_the_report_and_its_slices_are_of_what_is_compared_alone(tmp_path) -> None:
    for seed, name in enumerate("ab"):
        write_scan(tmp_path / f"{name}.h5", fft2c(phantom(2, 64, 64) * (1 + seed) + 0.01))
    changes = {
        "pipeline": "reconstruction",
        "sources": [{"glob": "a.h5"}],
        "network_def#options": {"blocks": 1, "features": 8},
        "sampling": {"samples": 1, "trust": "off"},
        "train#trainer#steps": 1,
        "train#simulate#crop": 24,
        "train#simulate#rows": 16,
        "train#simulate#cols": 48,
    }
    out = tmp_path / "out"
    config = overlay(tmp_path, **changes, domains=[{"glob": "b.h5", "accel": 2, "axes": "phase"}])
    compare_dynamics(config, tmp_path, out, **ONE | {"dynamics": ["i2sb"]})
    pictures = []
    for number, accel in enumerate((4, 2)):
        same = changes | {"train#trainer#steps": 2}
        config = overlay(tmp_path, **same, domains=[{"glob": "b.h5", "accel": accel, "axes": "phase"}])
        compare_dynamics(config, tmp_path, out, **ONE)
        kept = list((out / "ou-0" / "1-evaluations").glob("slice*.npy"))
        pictures.append({path.read_bytes() for path in kept})
        assert len(pictures[number]) == number + 1, "an image of another acceleration is another image"
    assert ": 2 steps" in (out / "report.md").read_text(), "not those of trainings that are not compared"


def test_what_is_asked_for_twice_is_one_contender(tmp_path, monkeypatch) -> None:
    asked, real = [], compare.train_contender
    monkeypatch.setattr(compare, "train_contender", lambda *given: asked.append(given[-2:]) or real(*given))
    twice = {"dynamics": ["ou", "ou"], "seeds": [1, 0, 1], "evaluations": [1, 1]}
    table = compare_dynamics(overlay(tmp_path), tmp_path, tmp_path / "out", **twice)
    assert [(line["dynamics"], line["seeds"]) for line in table] == [("identity", 1), ("ou", 2)]
    assert asked == [("ou", 1), ("ou", 0)]


def test_domains_need_no_names(tmp_path) -> None:
    config = overlay(tmp_path, domains=[{"degrade": "rain-light", "glob": "*.png"}])
    table = compare_dynamics(config, tmp_path, tmp_path / "out", **ONE)
    assert [line["dynamics"] for line in table] == ["identity", "ou"] and "domain" not in table[0]


RAIN = TINY["domains"][0]
BAD = {
    "dynamics must be a list": {"dynamics": []},
    "dynamics must be a list such": {"dynamics": "ou"},
    "seeds must be a list": {"seeds": 0},
    "seeds must be a list such": {"seeds": [-1]},
    "evaluations must be a list": {"evaluations": [0]},
    "evaluations must be a list such": {"evaluations": [1.5]},
    "sampling must be an object": {"sampling": [1]},
    "unknown option sample": {"sampling": {"sample": 1}},
    "domains must be a list": {"domains": 3},
    "domains must be a list of": {"domains": RAIN},
    "a source needs a glob": {"domains": [3]},
    "a source needs a glob, and": {"domains": [{"domain": "rain"}]},
    "all or none must have a domain": {"domains": [RAIN, {"glob": "*.png", "degrade": "rain-light"}]},
    "all or none must have a domain, which is text": {"domains": [RAIN | {"domain": 3}]},
    "has no degrade": {"pipeline": "super_resolution", "domains": [{"domain": "a", "glob": "*.png"}]},
    "has neither target nor degrade": {"domains": [{"domain": "a", "glob": "*.png"}]},
    "is measured in two ways": {"domains": [RAIN, RAIN | {"degrade": "haze"}]},
    "--axis 3": {"pipeline": "reconstruction", "domains": [{"glob": "*.png", "axes": 3}]},
    "--accel x": {"pipeline": "reconstruction", "domains": [{"glob": "*.png", "accel": "x"}]},
}


@pytest.mark.parametrize("said", BAD)
def test_overlays_that_cannot_be_compared_by_are_refused_before_the_work(said: str, tmp_path) -> None:
    config = overlay(tmp_path, **BAD[said])
    with pytest.raises(InputError) as error:
        compare_dynamics(config, tmp_path, tmp_path / "out", **settings(config))
    assert said.replace("x", "'x'") in str(error.value) or said in str(error.value)
    assert not (tmp_path / "out").exists()


def row(dynamics: str, seed: int, psnr: float, domain: str = "brain") -> dict:
    return {"domain": domain, "dynamics": dynamics, "evaluations": 10, "seed": seed, "files": 1, "psnr": psnr, "ssim": 0.5}


def test_std_over_seeds_is_that_of_means_over_what_the_table_pools() -> None:
    rows = [row("ou", seed, 30.0 + 2 * seed + axis) for seed in (0, 1) for axis in (-1, 1)]
    (line,) = over_seeds(rows)
    assert line["psnr"] == 31 and line["seeds"] == 2 and line["psnr_std"] == pytest.approx(2**0.5, abs=0.01)


def test_the_ordering_is_told_from_differences_and_their_std() -> None:
    seen = [row(name, seed, 30.0 - place + 5 * seed) for place, name in enumerate(ORDER) for seed in (0, 1)]
    assert "was seen" in ordering(seen) and "d3gm - ou +1.00 dB (std 0.00), seen" in ordering(seen)
    noisy = [line | {"psnr": line["psnr"] + 3 * (line["dynamics"] == "ou") * (-1) ** line["seed"]} for line in seen]
    assert "cannot be told" in ordering(noisy) and "not told apart" in ordering(noisy)
    turned = ordering([line | {"psnr": -line["psnr"]} for line in seen])
    assert "was not seen" in turned and turned.count("reversed") == 3
    alone = ordering([line for line in seen if line["seed"] == 0])
    assert "cannot be told" in alone and "d3gm - ou +1.00 dB, undecided without a second seed" in alone
    assert "cannot be told" in ordering([line for line in seen if line["dynamics"] != "decoupled"])


def test_settings_come_from_the_command_then_the_overlay(tmp_path) -> None:
    config = overlay(tmp_path, seeds=[3, 4])
    assert settings(config, seeds=None, dynamics=["ou"]) == {"dynamics": ["ou"], "seeds": [3, 4], "evaluations": [1, 10]}
    assert settings("compare-recon")["dynamics"] == ["d3gm", "ou", "sgm-vp", "decoupled", "i2sb"]


def test_a_dynamics_that_is_registered_later_is_a_contender(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(DYNAMICS, "late", DYNAMICS["ou"])
    with pytest.raises(InputError, match=r"unknown; one of regression, .*, late$"):
        compare_dynamics(overlay(tmp_path), tmp_path, tmp_path, **ONE | {"dynamics": ["later"]})
    table = compare_dynamics(overlay(tmp_path), tmp_path, tmp_path / "out", **ONE | {"dynamics": ["late"]})
    assert [line["dynamics"] for line in table] == ["identity", "late"]


def test_unknown_names_and_overlays_without_domains_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="unknown; one of regression"):
        compare_dynamics(overlay(tmp_path), tmp_path, tmp_path / "out", **ONE | {"dynamics": ["warp"]})
    with pytest.raises(InputError, match="no domains"):
        compare_dynamics("weights-derain", tmp_path, tmp_path / "out", **ONE)
    with pytest.raises(InputError, match="no such folder"):
        compare_dynamics(overlay(tmp_path), tmp_path / "none", tmp_path / "out", **ONE)
    for task in (compare_dynamics, lambda config, data, output, **_: train(config, str(data), str(output), "cpu")):
        for name in ("foo", "..", "", 5):
            with pytest.raises(InputError, match="not among pipelines: reconstruction, restoration, super_resolution"):
                task(overlay(tmp_path, pipeline=name), tmp_path, tmp_path / "out", **ONE)
    assert not (tmp_path / "out").exists()
