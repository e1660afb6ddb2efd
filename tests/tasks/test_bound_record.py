"""The bound in a sidecar: for the weights and options that it was measured for, and for no others."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scans import fft2c, phantom

from mri_d3gm.errors import InputError
from mri_d3gm.metrics.bound import Bound, Evidence, upper
from mri_d3gm.networks.files import weights_files
from mri_d3gm.physics.trust import Support
from mri_d3gm.runs.bounds import bounds_of
from mri_d3gm.runs.model import load
from mri_d3gm.runs.record import files_hash, weights_file
from mri_d3gm.settings import Recon
from mri_d3gm.tasks.per_slice import per_slice
from mri_d3gm.tasks.recon_record import bound_record

BOUND = Bound(0.9, [0.5, 0.5, 0.0, 0.0, 0.0], 0.2, [0.001] * 3 + [1.0], [1.0] * 3 + [20.0], 30)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A copy of the shipped weights with a bound of their own."""
    files = weights_files(weights_file(Recon()))
    for file in files:
        shutil.copy(file, tmp_path / file.name)
    both = {"slice": BOUND._asdict(), "scan": BOUND._asdict()}
    wider = {name: bound | {"margin": 0.4} for name, bound in both.items()}
    record = {"weights": [files_hash([file]) for file in files], "one": both, "several": wider}
    (tmp_path / "model-bound.json").write_text(json.dumps(record))
    return tmp_path / "model.safetensors"


def test_a_bound_is_that_of_its_weights_and_of_the_usual_draws(weights: Path) -> None:
    usual = Recon(weights=str(weights))
    assert bounds_of(usual, 1) == {"slice": BOUND, "scan": BOUND}
    assert bounds_of(usual, 2) == bounds_of(usual, 8) == {name: BOUND._replace(margin=0.4) for name in ("slice", "scan")}
    others = (("quality", "fast"), ("steps", 2), ("trust", "full"), ("trust", "off"), ("method", "regression"), ("tau", 3.0))
    for name, value in others:
        assert bounds_of(Recon(weights=str(weights), **{name: value}), 1) == {}
    weights_files(weights)[1].unlink()
    assert bounds_of(usual, 1) == {}, "of two sets of weights, and one is there"
    (weights.parent / "model-bound.json").unlink()
    assert bounds_of(usual, 1) == {}


def of_every_kind(**changes: object) -> dict[str, object]:
    """What a file holds whose bounds have other parts."""
    both = dict.fromkeys(("slice", "scan"), BOUND._asdict() | changes)
    return {"weights": [], "one": both, "several": both}


DAMAGE: dict[str, object] = {
    "empty": "",
    "a list": [1],
    "no hashes": {"one": {}, "several": {}},
    "no coils": {name: part for name, part in of_every_kind().items() if name != "several"},
    "other keys": of_every_kind(unknown=1),
    "words": of_every_kind(margin="x"),
    "too few": of_every_kind(least=[1]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_bound_is_refused_before_the_work(damage: str, weights: Path) -> None:
    held = DAMAGE[damage]
    file = weights.parent / "model-bound.json"
    file.write_text(held if isinstance(held, str) else json.dumps(held))
    for work in (load, lambda settings: bounds_of(settings, 8)):
        with pytest.raises(InputError, match=r"model-bound\.json: no bound"):
            work(Recon(weights=str(weights), device="cpu"))


def fact(foretold: float, std: float, rms: float = 1.0) -> dict:
    """What is known of a slice, as `tasks.recon.Slice` holds it."""
    ones = torch.ones(4, dtype=torch.float64)
    noise = type("Noise", (), {"source": "outside", "reliable": True})
    known = {
        "residual": 1.0,
        "sigma": 1.0,
        "coil_maps": "none",
        "explained": [],
        "sets": 0,
        "second_look": False,
        "centreless": False,
        "spikes": (),
        "noise": noise,
    }
    evidence = Evidence(foretold, std, 0.02, 4.0)
    return known | {"support": Support(ones, ones, ones, ones), "evidence": evidence, "rms": rms, "peak": 4 * rms}


def test_slices_have_bounds_and_lights_and_the_volume_counts_them() -> None:
    facts = [fact(0.05, 0.05), None, fact(0.15, 0.15), fact(0.4, 0.4), fact(0.05, 0.05) | {"evidence": None}]
    records = per_slice([(0, index) for index in range(5)], facts, BOUND)
    assert [record.get("Light") for record in records] == ["green", None, "amber", "red", None]
    assert records[0]["ErrorBelow"] == pytest.approx(upper(BOUND, facts[0]["evidence"]), rel=1e-3)
    assert records[0]["PSNRAbove"] == pytest.approx(20 * np.log10(4 / records[0]["ErrorBelow"]), abs=0.01)
    assert "red" in records[3]["Flags"] and "red" not in records[2]["Flags"]
    whole = bound_record([one for one in facts if one is not None], {"slice": BOUND, "scan": BOUND})
    assert whole is not None and whole["Lights"] == {"green": 1, "amber": 1, "red": 1} and whole["Level"] == 0.9
    assert records[0]["ErrorBelow"] < whole["ErrorBelow"] < records[3]["ErrorBelow"]
    assert bound_record([], {"slice": BOUND, "scan": BOUND}) is None and bound_record(facts[:1], {}) is None
    assert per_slice([(0, 0)], facts[:1])[0]["Light"] is None
    lost = fact(0.05, 0.05) | {"evidence": None, "centreless": True}
    assert per_slice([(0, 0)], [lost], BOUND)[0]["Flags"] == ["without-centre"]
    assert bound_record([fact(0.05, 0.05), lost], {"slice": BOUND, "scan": BOUND}) is None


@pytest.mark.parametrize(("first", "known"), [(0, True), (30, True), (36, False), (44, False)])
def test_an_image_without_the_centre_of_kspace_has_no_bound(first: int, known: bool) -> None:
    from mri_d3gm.io.open_scan import scan_of_array
    from mri_d3gm.tasks.recon import reconstruct_slice

    kspace, mask = fft2c(phantom(1, 64, 64))[:, None].astype(np.complex64), np.arange(64) >= first
    settings = Recon(accel=1, device="cpu", steps=1, samples=2)
    facts = reconstruct_slice(scan_of_array(kspace * mask, mask), 0, mask[None], settings, load(settings)).facts
    assert facts is not None and facts["centreless"] == (not known)
    assert (facts["evidence"] is None) == (not known) or first == 0


def test_evidence_does_not_depend_on_the_units_of_the_data() -> None:
    from mri_d3gm.io.open_scan import scan_of_array
    from mri_d3gm.pipeline import sampling
    from mri_d3gm.tasks.recon import reconstruct_slice

    settings = Recon(accel=4.0, device="cpu")
    kspace = fft2c(phantom(1, 64, 64))[:, None].astype(np.complex64)
    found = []
    for unit in (1.0, 1e4):
        scan = scan_of_array(unit * kspace)
        mask, _ = sampling(scan, settings)
        facts = reconstruct_slice(scan, 0, mask, replace(settings), load(settings)).facts
        assert facts is not None
        found.append(facts["evidence"])
    print(found)
    np.testing.assert_allclose(found[0], found[1], rtol=2e-3)
    assert found[0].accel == pytest.approx(4, rel=0.1)
