"""Two processes are never at one job, and a dead one's job is taken over."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mri_d3gm.io.atomic import place
from mri_d3gm.runs import claims
from mri_d3gm.runs.claims import claim, gone, last_lock, lock_name, silent_seconds


@pytest.fixture
def job(tmp_path: Path) -> str:
    return str(tmp_path / "a_recon.nii.gz")


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(claims, "BEAT", 0.02)
    monkeypatch.setattr(claims, "DEAD", 0.3)
    yield


def left_by(job: str, process: int, host: str | None = None, number: int = 1) -> Path:
    lock = lock_name(job, number)
    lock.write_text(json.dumps({"Host": host or place(), "Process": process, "Since": 0}))
    return lock


def ended_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_a_job_is_held_by_one_and_free_afterwards(job: str, tmp_path: Path) -> None:
    with claim(job, {}) as held:
        assert held is not None and held.deaths == 0
        with claim(job, {}) as other:
            assert other is None
    assert not list(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt), claim(job, {}):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dead", [False, True])
def test_of_many_at_once_one_gets_it(job: str, dead: bool) -> None:
    if dead:
        left_by(job, ended_process())

    def attempt(_: int) -> bool:
        with claim(job, {}) as held:
            time.sleep(0.2)
            return held is not None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1


def test_a_dead_process_of_this_host_is_succeeded_at_once_and_counted(job: str, tmp_path: Path) -> None:
    left_by(job, ended_process())
    left_by(job, ended_process(), number=2)
    assert gone(lock_name(job, 2))
    with claim(job, {}) as held:
        assert held is not None and held.deaths == 2 and last_lock(job)[1] == 3
    assert not list(tmp_path.iterdir())


def test_a_process_of_another_host_is_dead_once_it_gives_no_sign(job: str, fast: None) -> None:
    lock = left_by(job, 1, "elsewhere")
    seen: claims.Seen = {}
    for beat in range(8):  # its clock does not count, neither forwards nor back
        os.utime(lock, (beat * 10**8, 10**9 - beat * 10**8))
        time.sleep(0.06)
        with claim(job, seen) as held:
            assert held is None
    time.sleep(0.35)
    with claim(job, seen) as held:
        assert held is not None and held.deaths == 1


def test_a_holder_that_wakes_up_too_late_knows(job: str, fast: None, tmp_path: Path) -> None:
    with claim(job, {}) as held:
        assert held is not None
        left_by(job, os.getpid(), number=2)
        assert held.lost.wait(2)
    assert lock_name(job, 2).exists()


def test_a_holder_whose_folder_was_removed_knows(job: str, fast: None) -> None:
    with claim(job, {}) as held:
        assert held is not None
        lock_name(job).unlink()
        assert held.lost.wait(2)


def test_a_holder_beats(job: str, fast: None) -> None:
    with claim(job, {}):
        before = lock_name(job).stat().st_mtime_ns
        time.sleep(0.2)
        assert lock_name(job).stat().st_mtime_ns > before
        assert silent_seconds(lock_name(job), time.time()) < 0.2 and silent_seconds(lock_name(job), time.time() - 3600) == 0


def test_what_a_holder_left_that_was_killed_at_its_end_is_found(job: str) -> None:
    left_by(job, ended_process(), number=3)
    assert last_lock(job)[1] == 3
    with claim(job, {}) as held:
        assert held is not None
    assert last_lock(job) == (None, 0)


def test_a_lock_that_cannot_be_read_is_left_alone_until_it_is_silent(job: str, fast: None) -> None:
    lock_name(job).write_text("")
    seen: claims.Seen = {}
    with claim(job, seen) as held:
        assert held is None
    time.sleep(0.35)
    with claim(job, seen) as held:
        assert held is not None
