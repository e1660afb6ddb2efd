"""The rows of the throughput benchmark: which there are, and what holds of them whatever the machine; no time is asserted."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from mri_d3gm.errors import InputError
from mri_d3gm.lab import throughput
from mri_d3gm.lab.throughput import Case, cases_of, measure_throughput, peak_memory, started, write_volume


def test_every_number_of_processes_threads_coils_and_slices_has_a_row() -> None:
    cases = list(cases_of("cpu", [1, 8], [1, 2], [1, 4], [1, 16]))
    assert len(cases) == len(set(cases)) == 2 * (4 + 1)
    assert {(case.workers, case.threads) for case in cases if case.batch == 1} == {(1, 1), (1, 4), (2, 1), (2, 4)}
    assert {case[2:] for case in cases if case.batch > 1} == {(1, 1, 16)}


def test_a_gpu_has_rows_with_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    both, alone = (list(cases_of(device, [8], [1, 2], [1, 4], [1, 16])) for device in ("auto", "cuda"))
    assert alone == [Case("cuda", 8, 1, 4, 1), Case("cuda", 8, 1, 4, 16)] and both[-2:] == alone
    assert both[:-2] == list(cases_of("cpu", [8], [1, 2], [1, 4], [1, 16]))


def test_slices_differ_and_have_the_noise_and_the_size_that_are_said(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.npy", (2, 3, 40, 32))
    kspace = np.load(tmp_path / "a.npy")
    assert kspace.shape == (2, 3, 40, 32) and kspace.dtype == np.complex64
    energy = [float(np.linalg.norm(one)) for one in kspace]
    assert energy[1] > 1.3 * energy[0] > 0 and (abs(kspace).argmax() % (40 * 32)) == 20 * 32 + 16


def test_rows_are_of_processes_of_their_own_and_tables_are_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processes: list[int | None] = []

    def noted(*arguments: object) -> object:
        found = started(*arguments)
        processes.append(found[0].pid)
        return found

    monkeypatch.setattr(throughput, "started", noted)
    monkeypatch.setattr(throughput, "REPEATS", 1)
    seen: list[dict] = []
    text = measure_throughput(tmp_path, [Case("cpu", 1, 2, 1, 1)], size=32, files=[3], slices=[2], on_row=seen.append)
    assert len(set(processes)) == 2 and os.getpid() not in processes
    row, files, slices = seen
    assert (row["workers"], files["files"], slices["slices"]) == (2, 3, 2)
    assert all(value > 0 for one in seen for value in one.values() if not isinstance(value, str))
    assert not Path("/proc/self/status").exists() or min(one["rss_mb"] for one in seen) > 100
    assert (tmp_path / "throughput.md").read_text() == text and "32 x 32, 2 slices" in text
    every = json.loads((tmp_path / "throughput.json").read_text())
    assert [rows[0].items() >= one.items() for rows, one in zip(every.values(), seen, strict=True)] == [True] * 3
    assert all({"quality", "repeats", "cores"} <= rows[0].keys() for rows in every.values())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["throughput.json", "throughput.md"]


def test_a_process_that_ends_early_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ended before it had measured"):
        throughput.measured(Case("cpu", 1, 1, 1, 1), tmp_path / "none.npy", "fast", 1)


def test_memory_is_of_the_process_alone() -> None:
    assert peak_memory(2**30) == 0
    assert peak_memory(os.getpid()) > 50 or not Path("/proc/self/status").exists()
