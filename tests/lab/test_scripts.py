"""Scripts are not rotten: each says how it is used, and the methods that are tuned run on a scan."""

import json
import os
import runpy
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from dicom_files import OBLIQUE, mosaic, stack, write_series
from scans import fft2c, four_coils, phantom, write_scan

from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.scan import read_reference
from mri_d3gm.physics.fft import ifft2c
from mri_d3gm.settings import TASKS

SCRIPTS = Path(__file__).parents[2] / "scripts"


def run(script: str, *arguments: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    monkeypatch.syspath_prepend(SCRIPTS)  # as python does, so that scripts find each other
    runpy.run_path(str(SCRIPTS / script), run_name="__main__")


@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.glob("*.py")))
def test_every_script_says_how_it_is_used(script: str, monkeypatch, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        run(script, "--help", monkeypatch=monkeypatch)
    assert not end.value.code and "usage" in capsys.readouterr().out


def test_tables_of_options_are_written_anew(tmp_path, monkeypatch) -> None:
    docs = SCRIPTS.parent / "docs"
    pages = [docs / f"{task.bundle}.md" for task in TASKS.values()]
    for page in pages:
        before, start, rest = page.read_text().partition("<!-- options -->\n")
        (tmp_path / page.name).write_text(f"{before}{start}| old |\n{rest[rest.index('<!-- /options -->') :]}")
    run("tables.py", tmp_path, monkeypatch=monkeypatch)
    assert [(tmp_path / page.name).read_text() for page in pages] == [page.read_text() for page in pages]


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


@pytest.mark.parametrize("axis", ["phase", "readout"])
@pytest.mark.parametrize("shape", [(72, 64), (45, 51)])
def test_a_smaller_field_of_view_wraps_and_loses_nothing(monkeypatch, axis: str, shape: tuple[int, int]) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    wrapped = runpy.run_path(str(SCRIPTS / "many_coils.py"))["wrapped"]
    kspace = torch.from_numpy(four_coils(*shape)[0]).to(torch.complex128)
    torch.testing.assert_close(wrapped(kspace, axis, 1.0), kspace)
    given, folded = ifft2c(kspace), ifft2c(wrapped(kspace, axis, 0.7))
    dim = {"phase": -1, "readout": -2}[axis]
    kept = folded.shape[dim]
    assert abs(kept - 0.7 * given.shape[dim]) <= 1
    torch.testing.assert_close(folded.sum((-2, -1)), given.sum((-2, -1)))
    middle, lines = kept // 2, given.shape[dim] // 2
    torch.testing.assert_close(folded.select(dim, middle), given.select(dim, lines))  # nothing folds onto the centre
    both = given.select(dim, lines - middle) + given.select(dim, lines - middle + kept)
    torch.testing.assert_close(folded.select(dim, 0), both)


@pytest.mark.parametrize("program", ["bart", "one that aborts"])
def test_ours_stands_next_to_bart_in_a_table(tmp_path, monkeypatch, capsys, program: str) -> None:
    if program == "bart" and not shutil.which("bart"):
        pytest.skip("the program bart is not installed")
    if program != "bart":
        (tmp_path / "bart").write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "bart").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    write_scan(tmp_path / "a.h5", four_coils())
    write_scan(tmp_path / "one_coil.h5")
    asked = [tmp_path, "--accels", "2", "--wrapped", "0.8", "--kernels", "4", "--quality", "fast", "-o", tmp_path / "a.md"]
    run("many_coils.py", *asked, monkeypatch=monkeypatch)
    said = capsys.readouterr()
    assert "one_coil.h5: it has one coil" in said.err and said.out.strip() == (tmp_path / "a.md").read_text().strip()
    lines = [line.strip("| ").split(" | ") for line in said.out.splitlines() if line.startswith("|")]
    assert lines[0] == ["file", "accel", "axis", "zero-filled", "one set", "two sets", "ours"]
    assert [line[:3] for line in lines[2:4]] == [["a.h5", "2", axis] for axis in ("phase", "readout")]
    for line in lines[2:4]:
        zero, one, two, ours = (float(cell.split(" / ")[0]) if cell != "none" else None for cell in line[3:])
        assert ours > zero and ((one is None and two is None) if program != "bart" else min(one, two) > zero)
    assert lines[4][0] == f"mean of {2 if program == 'bart' else 0}" and "below the best of BART in" in said.out


@pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="dcm2niix is not installed")
def test_dicom_lies_where_dcm2niix_puts_it(tmp_path, monkeypatch, capsys) -> None:
    given = {"InstanceNumber": 1, "Manufacturer": "SIEMENS"}
    write_series(tmp_path / "mosaic", [mosaic(stack(), OBLIQUE, -4.0, **given)])
    write_series(tmp_path / "phase", directions=OBLIQUE, ImageType=["ORIGINAL", "PRIMARY", "P"])
    run("dicom_geometry.py", tmp_path / "mosaic", tmp_path / "phase", monkeypatch=monkeypatch)
    lines = capsys.readouterr().out.splitlines()[2:4]
    assert "| mosaic | 4 | 8 x 6 x 5 | 2000 | 0.00000 | 0.0e+00 |" in lines[0] and "phase images only" in lines[1]


def test_one_coil_becomes_several(tmp_path, monkeypatch, capsys) -> None:
    source = write_scan(tmp_path / "a.h5", fft2c(phantom(2, 48, 48) + 0.01))
    run("with_coils.py", source, tmp_path / "b.h5", "--seed", "3", "--coils", "6", "--noise", "0", monkeypatch=monkeypatch)
    assert "2 slices of 6 coils" in capsys.readouterr().out
    assert h5py.File(tmp_path / "b.h5")["kspace"].shape == (2, 6, 48, 48)
    made, before = (read_reference(open_scan(path), 0) for path in (tmp_path / "b.h5", source))
    np.testing.assert_allclose(made, before, atol=1e-5)


@pytest.mark.skipif(shutil.which("Orthanc") is None, reason="Orthanc is not installed")
def test_a_real_pacs_holds_what_was_sent(tmp_path, monkeypatch, capsys) -> None:
    run("pacs.py", write_scan(tmp_path / "a.h5"), "-o", tmp_path / "out", monkeypatch=monkeypatch)
    said = capsys.readouterr().out
    for kind, count in (("classic", 5), ("enhanced", 3)):  # two images, two without a network, a std map
        part = said[said.index(kind) :]
        assert f"{count} objects written; Sent(stored={count}, refused={{}}, committed=True" in part
        assert f"holds 1 study, 3 series, {count} instances" in part
    for text in ("refused the association: Called AE title not recognised", "cannot be reached: Connection refused"):
        assert said.count(text) >= 2


def test_a_bound_is_found_on_some_subjects_and_measured_on_others(tmp_path, monkeypatch, capsys) -> None:
    """The error is the withheld error times a number that is between 1 and 1.2; whom training saw is left out."""
    rng, rows = np.random.default_rng(0), []
    for number in range(240):
        missed, part = float(rng.uniform(0.05, 0.5)), ("fitted", "tested", "seen")[number % 3]
        known = {"file": f"{part}{number % 72:02d}_a.h5", "accel": 4.0, "slice": number, "coils": 1 + number // 3 % 2}
        error = (100 if part == "seen" else 1) * missed * float(rng.uniform(1, 1.2))
        evidence = {"foretold": missed, "std": 0.1, "noise": 0.01}
        rows.append(known | {"smooth": True, "error": error, "reference": 1.0, "image": 1.0} | evidence)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    roles = {"fitted": "calibrate", "tested": "test", "seen": "trained"}
    lines = [f"{part}{number:02d}\t{part}{number}\tbrain\t{role}" for part, role in roles.items() for number in range(72)]
    (tmp_path / "subjects.tsv").write_text("\n".join(["prefix\tsubject\torgan\trole", *lines]) + "\n")
    files = [tmp_path / name for name in ("rows.jsonl", "subjects.tsv", "bound.json")]
    run("bound.py", "fit", *files, monkeypatch=monkeypatch)
    run("bound.py", "cover", *files, monkeypatch=monkeypatch)
    first = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| slices | all"))
    _, _, _, subjects, images, share, *_ = (part.strip() for part in first.split("|"))
    assert (subjects, images) == ("24", "80") and 0.8 <= float(share) <= 1
