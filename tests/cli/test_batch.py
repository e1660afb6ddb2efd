"""A batch: what one command makes of many inputs, through faults."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from photographs import photograph
from scans import fft2c, phantom, write_scan

from mri_d3gm.errors import InputError
from mri_d3gm.io.atomic import place
from mri_d3gm.runs import claims
from mri_d3gm.runs.claims import lock_name
from mri_d3gm.runs.manifest import read_frozen, read_jobs
from mri_d3gm.runs.rows import row_name, states
from mri_d3gm.tasks import batch as task
from mri_d3gm.tasks import recon

PLAIN = ["--method", "zero-filled", "--accel", 4]


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        (tmp_path / "in").mkdir(exist_ok=True)
        write_scan(tmp_path / "in" / f"{name}.h5")
    return tmp_path / "in"


def state(out: Path) -> dict[str, str]:
    return {Path(one.job.input).stem: one.state for one in states(read_frozen(str(out)), str(out))}


def dead_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def killed_at(result: Path) -> None:
    """What a process leaves that was killed between the volume and the sidecar."""
    result.parent.mkdir(exist_ok=True)
    result.write_bytes(b"half")
    lock_name(str(result)).write_text(json.dumps({"Host": place(), "Process": dead_process()}))


def test_results_are_those_of_one_command_each_and_are_not_made_again(mri, scans, tmp_path, monkeypatch) -> None:
    code, text, error = mri("batch", scans, "-o", tmp_path / "out", *PLAIN)
    assert code == 0 and text.count("R=4") == 3 and "3 done, 0 failed, of 3" in error
    mri("recon", scans / "b.h5", "-o", tmp_path / "alone", *PLAIN)
    for name in ("b_recon.nii.gz", "b_recon_preview.png"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    one, other = (json.loads((tmp_path / place / "b_recon.json").read_text()) for place in ("out", "alone"))
    assert one | {"Seconds": 0} == other | {"Seconds": 0}
    code, text, _ = mri("batch", "--status", tmp_path / "out")
    assert code == 0 and "3 done, 0 failed, 0 running, 0 missing, of 3" in text
    monkeypatch.setattr(recon, "reconstruct", None)
    assert mri("batch", scans, "-o", tmp_path / "out", *PLAIN)[:2] == (0, "")
    (tmp_path / "out" / "b_recon.nii.gz").unlink()
    assert state(tmp_path / "out") == {"a": "done", "b": "missing", "c": "done"}


def test_shards_share_it(mri, scans, tmp_path, monkeypatch) -> None:
    code, _, error = mri("batch", scans, "-o", tmp_path / "out", *PLAIN, "--shard", "2/2")
    assert code == 0 and "shard 2 of 2: 1 of 3 inputs" in error
    assert state(tmp_path / "out") == {"a": "missing", "b": "done", "c": "missing"}
    assert mri("batch", "--status", tmp_path / "out")[0] == 1
    for name, value in (("ID", "1"), ("MIN", "1"), ("COUNT", "2")):
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    mri("batch", scans, "-o", tmp_path / "out", *PLAIN)
    assert mri("batch", "--status", tmp_path / "out", "--json")[0] == 0


def test_a_table_of_all_three_tasks(mri, scans, tmp_path) -> None:
    image = 300 * phantom(3, 16, 20).transpose(1, 2, 0)
    nibabel.save(nibabel.Nifti1Image(image.astype(np.float32), np.diag([1, 1, 5, 1])), scans / "v.nii.gz")
    photograph(scans / "p.png", seed=1)
    (tmp_path / "jobs.tsv").write_text(
        "input\trun\tmethod\taccel\tscale\ttask\nin/a.h5\trecon\tzero-filled\t4\t\t\nin/v.nii.gz\tsr\tcubic\t\t2\t\n"
        "in/p.png\trestore\tmedian\t\t\tderain\n"
    )
    assert mri("batch", tmp_path / "jobs.tsv", "-o", tmp_path / "out")[0] == 0
    assert {"a_recon.nii.gz", "v_sr.nii.gz", "p.png", "p.png_job.json"} <= {one.name for one in (tmp_path / "out").iterdir()}


def test_what_failed_is_said_once_and_tried_again_when_asked(mri, scans, tmp_path) -> None:
    whole = (scans / "b.h5").read_bytes()
    (scans / "b.h5").write_bytes(whole[: len(whole) // 2])
    code, text, error = mri("batch", scans, "-o", tmp_path / "out", *PLAIN)
    assert code == 1 and text.count("R=4") == 2 and error.count("b.h5") == 1 and "2 done, 1 failed" in error
    code, text, _ = mri("batch", "--status", tmp_path / "out")
    assert code == 1 and text.startswith(f"failed  {scans}/b.h5  ") and "2 done, 1 failed" in text
    assert text.count("b.h5") == 1
    code, _, error = mri("batch", scans, "-o", tmp_path / "out", *PLAIN)
    assert code == 1 and "failed before, --retry failed tries it again" in error
    assert mri("batch", scans, "-o", tmp_path / "out", *PLAIN, "--retry", "failed")[0] == 1
    (scans / "b.h5").write_bytes(whole)  # another input: what was said of the old one does not hold
    assert mri("batch", scans, "-o", tmp_path / "out", *PLAIN)[0] == 0


def test_what_is_done_is_done_anew_for_another_input(mri, scans, tmp_path) -> None:
    command = ("batch", scans, "-o", tmp_path / "out", *PLAIN)
    assert mri(*command)[0] == 0
    result = tmp_path / "out" / "b_recon.nii.gz"
    before, whole = result.read_bytes(), (scans / "b.h5").read_bytes()
    (scans / "b.h5").write_bytes(whole[: len(whole) // 2])
    assert mri(*command)[0] == 1 and result.read_bytes() == before
    write_scan(scans / "b.h5", fft2c(2 * phantom()))
    assert mri(*command)[0] == 0 and result.read_bytes() != before
    result.unlink()  # what is left of it is the batch's own
    assert mri(*command)[0] == 0 and result.exists()


def test_a_fault_of_the_software_is_that_of_one_job(scans, tmp_path, monkeypatch) -> None:
    whole = recon.reconstruct

    def once(scan: Any, *args: Any, **kwargs: Any) -> Any:
        return whole(None if scan.name.endswith("a.h5") else scan, *args, **kwargs)

    monkeypatch.setattr(recon, "reconstruct", once)
    jobs, told = read_jobs(str(scans), str(tmp_path / "out"), "recon", {"method": "zero-filled"}), list[Any]()
    task.run_batch(jobs, told.append)
    assert [one.state for one in told] == ["failed", "done", "done"] and "a.h5: AttributeError" in told[0].why


def test_a_file_of_an_option_that_cannot_be_read_is_the_fault_of_its_job(scans, tmp_path) -> None:
    (tmp_path / "in" / "maps.h5").mkdir()
    (scans / "jobs.tsv").write_text("input\tcoil_maps\na.h5\tmaps.h5\nb.h5\t\n")
    jobs, told = read_jobs(str(scans / "jobs.tsv"), str(tmp_path / "out"), "recon", {"method": "zero-filled"}), list[Any]()
    for _ in range(2):
        task.run_batch(jobs, told.append)
    assert [one.state for one in told] == ["failed", "done"] * 2


@pytest.mark.parametrize("fails", [False, True])
def test_what_another_process_took_over_is_left_to_it(fails: bool, scans, tmp_path, monkeypatch) -> None:
    """A process that was stopped for a while says nothing of a job that is another's by now."""
    jobs = read_jobs(str(scans), str(tmp_path / "out"), "recon", {"method": "zero-filled"})[:1]
    whole, other = recon.reconstruct, lock_name(jobs[0].result, 2)

    def once(*args: Any, **kwargs: Any) -> Any:
        other.write_text(json.dumps({"Host": "elsewhere", "Process": 1}))
        threading.Timer(0.3, finishes).start()
        if fails:
            raise InputError("no")
        return whole(*args, **kwargs)

    def finishes() -> None:
        assert not Path(row_name(jobs[0])).exists()
        monkeypatch.setattr(recon, "reconstruct", whole)
        other.unlink()

    monkeypatch.setattr(recon, "reconstruct", once)
    monkeypatch.setattr(task, "WAIT", 0.05)
    told: list[Any] = []
    task.run_batch(jobs, told.append)
    assert [one.state for one in told] == ["done"] and not list((tmp_path / "out").glob(".*"))


def test_what_a_killed_process_left_half_done_is_done_anew(mri, scans, tmp_path) -> None:
    killed_at(tmp_path / "out" / "b_recon.nii.gz")
    assert mri("batch", scans, "-o", tmp_path / "out", *PLAIN)[0] == 0
    assert nibabel.load(tmp_path / "out" / "b_recon.nii.gz").shape == (40, 48, 2)
    assert json.loads((tmp_path / "out" / "b_recon_job.json").read_text())["Deaths"] == 1
    assert not list((tmp_path / "out").glob(".*"))


def test_a_file_of_someone_else_is_not_replaced(mri, scans, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b_recon.nii.gz").write_bytes(b"precious")
    code, _, error = mri("batch", scans, "-o", tmp_path / "out", *PLAIN)
    assert code == 1 and "b_recon.nii.gz: is there without the rest" in error
    assert (tmp_path / "out" / "b_recon.nii.gz").read_bytes() == b"precious"


def test_jobs_that_processes_died_at_come_last(scans, tmp_path) -> None:
    jobs = read_jobs(str(scans), str(tmp_path / "out"), "recon", {"method": "zero-filled", "accel": "4"})
    (tmp_path / "out").mkdir()
    for number in (1, 2):
        lock_name(jobs[0].result, number).write_text(json.dumps({"Host": place(), "Process": dead_process()}))
    assert "died at it; 2 so far" in states(jobs, str(tmp_path))[0].why
    told: list[Any] = []
    task.run_batch(jobs, told.append)
    assert [Path(one.job.input).stem for one in told] == ["b", "c", "a"] and {one.state for one in told} == {"done"}


def test_two_that_meet_share_the_work(scans, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(task, "WAIT", 0.05)
    jobs, works, whole = (
        read_jobs(str(scans), str(tmp_path / "out"), "recon", dict(method="zero-filled")),
        [],
        recon.reconstruct,
    )

    def slowly(scan: Any, *args: Any, **kwargs: Any) -> Any:
        works.append(scan.name)
        time.sleep(0.3)
        return whole(scan, *args, **kwargs)

    monkeypatch.setattr(recon, "reconstruct", slowly)
    told: list[list[Any]] = [[], []]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda one: task.run_batch(jobs, one.append), told))
    assert sorted(works) == sorted(job.input for job in jobs)
    assert all({one.state for one in every} == {"done"} and len(every) == 3 for every in told)


def test_two_that_try_failures_again_try_each_once(scans, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(task, "WAIT", 0.05)
    jobs, works = read_jobs(str(scans), str(tmp_path / "out"), "recon", dict(method="zero-filled")), list[str]()

    def fails(scan: Any, *_: Any, **__: Any) -> None:
        works.append(scan.name)
        time.sleep(0.2)
        raise InputError("no")

    monkeypatch.setattr(recon, "reconstruct", fails)
    task.run_batch(jobs, lambda _: None)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: task.run_batch(jobs, lambda _: None, retry=True), range(2)))
    assert sorted(works) == sorted(2 * [job.input for job in jobs])


def test_what_runs_is_told(scans, tmp_path, monkeypatch) -> None:
    jobs, go, begun = read_jobs(str(scans), str(tmp_path / "out"), "recon", {}), threading.Event(), threading.Event()

    def waits(*_: Any, **__: Any) -> None:
        begun.set()
        go.wait(20)
        raise InputError("no")

    monkeypatch.setattr(recon, "reconstruct", waits)
    thread = threading.Thread(target=task.run_batch, args=(jobs, lambda _: None))
    thread.start()
    assert begun.wait(20)
    found = states(jobs, str(tmp_path))
    go.set()
    thread.join()
    assert [one.state for one in found] == ["running", "missing", "missing"] and f"process {os.getpid()}" in found[0].why
    assert {one.state for one in states(jobs, str(tmp_path))} == {"failed"}
    begun.clear(), go.clear()
    thread = threading.Thread(target=task.run_batch, args=(jobs, lambda _: None), kwargs={"retry": True})
    thread.start()
    assert begun.wait(20)
    found = states(jobs, str(tmp_path))
    go.set()
    thread.join()
    assert [one.state for one in found] == ["running", "failed", "failed"]


FAULTS = {
    "memory": (lambda scan: (_ for _ in ()).throw(MemoryError()), "memory ran out"),
    "replaced": (lambda scan: os.utime(scan.name, (1, 1)), "was replaced while it was read"),
    "hung": (lambda scan: GO.wait(20), "no progress for 2 s: the file system hangs"),
}
GO = threading.Event()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_one_job_is_its_own(fault: str, mri, scans, tmp_path, monkeypatch) -> None:
    happens, said = FAULTS[fault]
    whole, before = recon.reconstruct, (scans / "b.h5").stat()

    def once(scan: Any, *args: Any, **kwargs: Any) -> Any:
        if scan.name.endswith("b.h5"):
            happens(scan)
        return whole(scan, *args, **kwargs)

    monkeypatch.setattr(recon, "reconstruct", once)
    monkeypatch.setattr(task, "WAIT", 0.1)
    monkeypatch.setattr(claims, "DEAD", 0.5)
    GO.clear()
    timeout = ["--timeout", 2] if fault == "hung" else []
    code, text, error = mri("batch", scans, "-o", tmp_path / "out", *PLAIN, *timeout)
    assert code == 1 and text.count("R=4") == 2 and error.count(said) == 1
    assert state(tmp_path / "out") == {"a": "done", "b": "failed", "c": "done"}
    GO.set()  # what hung goes on, and then gives up
    os.utime(scans / "b.h5", ns=(before.st_atime_ns, before.st_mtime_ns))
    monkeypatch.setattr(recon, "reconstruct", whole)
    assert mri("batch", scans, "-o", tmp_path / "out", *PLAIN, "--retry", "failed")[0] == 0


def test_a_folder_that_is_removed_meanwhile_is_filled_again(scans, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(claims, "BEAT", 0.02)
    jobs, whole, removed = (
        read_jobs(str(scans), str(tmp_path / "out"), "recon", {"method": "zero-filled"}),
        recon.reconstruct,
        [],
    )

    def once(scan: Any, *args: Any, **kwargs: Any) -> Any:
        if scan.name.endswith("b.h5") and not removed:
            removed.append(shutil.rmtree(tmp_path / "out"))
            time.sleep(0.2)
        return whole(scan, *args, **kwargs)

    monkeypatch.setattr(recon, "reconstruct", once)
    task.run_batch(jobs, lambda _: None)
    assert {Path(one.job.input).stem: one.state for one in states(jobs, str(tmp_path))} == {
        "a": "missing",
        "b": "done",
        "c": "done",
    }


def test_where_nothing_can_be_kept_it_stops(mri, scans, tmp_path, monkeypatch) -> None:
    def full(job: Any, *_: Any) -> None:
        raise InputError(f"{row_name(job)}: cannot be written: No space left on device; choose another place")

    monkeypatch.setattr(task, "write_row", full)
    code, _, error = mri("batch", scans, "-o", tmp_path / "out", *PLAIN)
    assert code == 2 and error.count("\n") == 1 and "No space left" in error
    monkeypatch.undo()
    assert state(tmp_path / "out") == {"a": "missing", "b": "missing", "c": "missing"}
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_batch_that_is_told_to_stop_leaves_nothing_half_done(number: int, scans, tmp_path) -> None:
    words = ["batch", scans, "-o", tmp_path / "out", "--method", "d3gm", "--samples", 400, "--device", "cpu"]
    process = subprocess.Popen([sys.executable, "-m", "mri_d3gm", *map(str, words)], stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list((tmp_path / "out").glob(".*.lock-1")):
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted" in error and "Traceback" not in error
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["batch.tsv"]


def test_a_batch_that_is_killed_goes_on(scans, tmp_path) -> None:
    words = ["batch", scans, "-o", tmp_path / "out", "--accel", 4, "--quality", "fast", "--device", "cpu"]
    command = [sys.executable, "-m", "mri_d3gm", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list((tmp_path / "out").glob(".b_recon*.lock-1")):
        time.sleep(0.01)
    process.kill()
    process.wait()
    before = (tmp_path / "out" / "a_recon.nii.gz").stat()
    found = state(tmp_path / "out")
    assert found["a"] == "done" and found["b"] == found["c"] == "missing"
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    after = (tmp_path / "out" / "a_recon.nii.gz").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert set(state(tmp_path / "out").values()) == {"done"} and not list((tmp_path / "out").glob(".*"))
