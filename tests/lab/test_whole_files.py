"""Tables and what is kept of a comparison are whole: an interrupt while one is written leaves the one before."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scans import fft2c, phantom, write_scan

from mri_d3gm.lab import compare, hallucination_tables, reproduce, stability
from mri_d3gm.lab.benchmark import folder_protocol, run_benchmark

ROW = {"accel": 4.0, "method": "d3gm", "contrast": 0.4, "radius": 2.0, "detected": True, "kept": 0.5, "flagged": 0}
INVENTED = ROW | {"file": "a.h5", "slice": 0, "rate": 0.0, "p95": 0.1}
PATCHES = ROW | {"patches": 4, "median_cutoff": 0.5}


def written_by_a_benchmark(folder: Path) -> None:
    if not (folder / "data").exists():
        (folder / "data").mkdir()
        write_scan(folder / "data" / "a.h5", fft2c(phantom(1, 32, 32) + 0.01))
    run_benchmark("reconstruction", folder / "data", folder, folder_protocol([4.0], ["phase"]), ["zero-filled"], {})


def written_by_a_reproduction(folder: Path) -> None:
    reproduce.reproduce("tau", folder, folder, print, max_minutes=0)


WRITERS: dict[str, Callable[[Path], object]] = {
    "benchmark": written_by_a_benchmark,
    "hallucinations": lambda folder: hallucination_tables.write_results([ROW], [INVENTED], [PATCHES], {}, folder),
    "reproduce": written_by_a_reproduction,
    "stability": lambda folder: stability.write_tables({"discrepancy": [{"t": 1, "against": "lam", "KL": 1.0}]}, folder),
}


def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Next to nothing is written, and then the run is interrupted."""

    def half(path: Path, *_: object, **__: object) -> None:
        path.write_bytes(b"")
        raise KeyboardInterrupt

    def half_array(path: Path, _: np.ndarray) -> None:
        Path(path).write_bytes(b"\x93NUMPY")
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", half)
    monkeypatch.setattr(np, "save", half_array)


@pytest.mark.parametrize("writer", WRITERS)
def test_an_interrupt_leaves_the_tables_of_before(writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mri_d3gm.lab.charts.missing", lambda: "no charts")
    WRITERS[writer](tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert any(path.suffix == ".csv" for path in before)
    cut(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        WRITERS[writer](tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_an_interrupt_leaves_no_slice_that_every_later_comparison_stumbles_over(tmp_path: Path, monkeypatch) -> None:
    scan = write_scan(tmp_path / "a.h5", fft2c(phantom(1, 64, 64) + 0.01))
    protocol = {"domains": [{"glob": "*.h5", "accel": 4}]}
    (tmp_path / "d3gm-0").mkdir()
    (tmp_path / "d3gm-0" / "weights.safetensors").touch()
    plain = compare.reconstruct(compare.open_scan(scan), compare.Recon.of({"accel": 4, "method": "zero-filled"}))
    monkeypatch.setattr(compare, "reconstruct", lambda *_: plain)
    with monkeypatch.context() as interrupted, pytest.raises(KeyboardInterrupt):
        cut(interrupted)
        compare.write_slices(tmp_path, protocol, tmp_path, ["d3gm"], 0, 1)
    compare.write_slices(tmp_path, protocol, tmp_path, ["d3gm"], 0, 1)
    assert (tmp_path / "slices.png").exists()
