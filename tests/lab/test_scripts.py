"""Scripts are not rotten: each says how it is used, and the methods that are tuned run on a scan."""

import runpy
import sys
from pathlib import Path

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


def test_tuned_baselines_stand_in_a_table(tmp_path, monkeypatch, capsys) -> None:
    write_scan(tmp_path / "a.h5", fft2c(phantom(1, 32, 32) + 0.01))
    asked = [tmp_path, "--accels", "2", "--axes", "phase,readout", "--methods", "sense"]
    run("tuned_baselines.py", *asked, monkeypatch=monkeypatch)
    table = [line.split(" | ")[:3] for line in capsys.readouterr().out.splitlines() if line.startswith("| 2")]
    assert table == [["| 2.0", axis, "sense"] for axis in ("phase", "readout")]
