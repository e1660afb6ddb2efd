"""Scripts are not rotten: each says how it is used, and the methods that are tuned run on a scan."""

import json
import runpy
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from scans import fft2c, phantom, write_scan

SCRIPTS = Path(__file__).parents[2] / "scripts"


def run(script: str, *arguments: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    runpy.run_path(str(SCRIPTS / script), run_name="__main__")


@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.glob("*.py")))
def test_every_script_says_how_it_is_used(script: str, monkeypatch, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        run(script, "--help", monkeypatch=monkeypatch)
    assert not end.value.code and "usage" in capsys.readouterr().out


@pytest.mark.parametrize("coils", [1, 3])
def test_a_twin_has_the_magnitudes_and_a_phase_of_real_scans(tmp_path, monkeypatch, capsys, coils: int) -> None:
    images = phantom(2, 64, 96)[:, None] * np.array([1, 0.8j, -0.6])[None, :coils, None, None]
    source = write_scan(tmp_path / "a.h5", fft2c(images if coils > 1 else images[:, 0]))
    for name in ("b.h5", "c.h5"):
        run("with_real_phase.py", source, tmp_path / name, "--seed", "3", monkeypatch=monkeypatch)
    assert "imaginary share 0." in capsys.readouterr().out
    given, twin, again = (h5py.File(tmp_path / name)["kspace"][()] for name in ("a.h5", "b.h5", "c.h5"))
    magnitudes = (np.abs(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(k, (-2, -1)), norm="ortho"))) for k in (given, twin))
    np.testing.assert_allclose(*magnitudes, atol=1e-5)
    assert (twin == again).all() and np.abs(twin - given).max() > 0.1


def test_shares_of_training_and_of_files_stand_in_a_picture(tmp_path, monkeypatch, capsys) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "small.json").write_text(json.dumps({"sources": [{"glob": "*.h5"}]}))
    write_scan(tmp_path / "a.h5", fft2c(phantom(1, 64, 64) + 0.01))
    asked = [tmp_path, tmp_path / "picture.png", "--data", tmp_path, "--config", tmp_path / "small.json", "--cases", "3"]
    run("phase_share.py", *asked, monkeypatch=monkeypatch)
    assert "3 training cases" in capsys.readouterr().out and (tmp_path / "picture.png").stat().st_size > 1000


def test_tuned_baselines_stand_in_a_table(tmp_path, monkeypatch, capsys) -> None:
    write_scan(tmp_path / "a.h5", fft2c(phantom(1, 32, 32) + 0.01))
    asked = [tmp_path, "--accels", "2", "--axes", "phase,readout", "--methods", "sense"]
    run("tuned_baselines.py", *asked, monkeypatch=monkeypatch)
    table = [line.split(" | ")[:3] for line in capsys.readouterr().out.splitlines() if line.startswith("| 2")]
    assert table == [["| 2.0", axis, "sense"] for axis in ("phase", "readout")]
