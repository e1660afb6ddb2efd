import json

import pytest
from photographs import photograph

from mri_d3gm.errors import InputError
from mri_d3gm.tasks.compare import over_seeds, run

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


def overlay(folder):
    photograph(folder / "a.png")
    path = folder / "tiny.json"
    path.write_text(json.dumps(TINY))
    return str(path)


def test_every_contender_is_trained_once_and_stands_in_the_table(tmp_path) -> None:
    config, rows = overlay(tmp_path), []
    output = tmp_path / "compare"
    table = run(config, tmp_path, output, ["regression", "ou", "d3gm"], [0, 1], [1, 2], rows.append)
    lines = [(line["dynamics"], line["evaluations"], line["seeds"]) for line in table]
    assert lines == [("regression", 1, 2), ("ou", 1, 2), ("ou", 2, 2), ("d3gm", 1, 2), ("d3gm", 2, 2)]
    assert len(rows) == 10 and (output / "table.md").read_text().count("\n") == 7
    weights = [(output / f"{name}-0" / "weights.safetensors").read_bytes() for name in ("regression", "ou", "d3gm")]
    assert len(set(weights)) == 3
    kept = output / "d3gm-0" / "weights.safetensors"
    written, again = kept.stat().st_mtime_ns, []
    assert over_seeds(table)
    assert run(config, tmp_path, output, ["d3gm"], [0], [1], again.append)[0]["evaluations"] == 1 and not again
    assert kept.stat().st_mtime_ns == written


def test_unknown_names_and_overlays_without_domains_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="unknown; one of regression"):
        run(overlay(tmp_path), tmp_path, tmp_path / "out", ["warp"], [0], [1], print)
    with pytest.raises(InputError, match="no domains"):
        run("weights-derain", tmp_path, tmp_path / "out", ["ou"], [0], [1], print)
    assert not (tmp_path / "out").exists()
