"""Kills a batch at random moments and starts it again, and says what was lost, repeated or changed.

    python scripts/batch_faults.py -o FOLDER [--files 40] [--kills 100] [--seed 0]

A batch of small made scans runs once undisturbed. Others are killed (SIGKILL), `--kills` times in all, most of them up to 2.5
seconds after the first job began, and started again until they are done. After each kill the state that `batch --status`
reports is held against the files that are there. At the end all results must be those of the undisturbed run to the bit, no job
that was done may have been done again, and nothing may be left over.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

COMMAND = [sys.executable, "-m", "mri_d3gm", "batch"]
OPTIONS = ["--accel", "4", "--quality", "fast", "--threads", "1", "--device", "cpu"]


def make_scans(folder: Path, count: int) -> None:
    """Files of one slice of 64 x 48, one coil."""
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[-1:1:64j, -1:1:48j]
    for number in range(count):
        generator = np.random.default_rng(number)
        image = (x**2 + y**2 < 0.7) + 0.5 * (np.hypot(x - 0.3, y + 0.1 * (number % 5)) < 0.25)
        shifted = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image), norm="ortho"))
        noise = generator.normal(0, 0.01, (2, 64, 48))
        np.savez(folder / f"scan{number:03d}.npz", kspace=(shifted + noise[0] + 1j * noise[1]).astype(np.complex64)[None])


def started(scans: Path, out: Path) -> subprocess.Popen[str]:
    """The batch in a process of its own."""
    words = [*COMMAND, str(scans), "-o", str(out), *OPTIONS]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended_batch(scans: Path, out: Path, *before: str) -> tuple[int, str]:
    """Exit code and last line of a batch that runs to its end, in one line if it fails."""
    words = [*before, *COMMAND, str(scans), "-o", str(out), *OPTIONS]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "Traceback" not in run.stderr, run.stderr
    return run.returncode, run.stderr.strip().splitlines()[-1]


def results(out: Path) -> dict[str, bytes | str]:
    """What the batch wrote, by name; of sidecars all but the seconds, rows are not compared."""
    found: dict[str, bytes | str] = {}
    for path in sorted(out.rglob("*_recon*")):
        if path.name.endswith("_job.json"):
            continue
        if path.suffix == ".json":
            record = json.loads(path.read_text())
            record.pop("Seconds")
            found[str(path.relative_to(out))] = json.dumps(record, sort_keys=True)
        else:
            found[str(path.relative_to(out))] = path.read_bytes()
    return found


def status(out: Path) -> dict[str, str]:
    """State of each job by its input's name, as `--status` says it."""
    run = subprocess.run([*COMMAND, "--status", str(out), "--json"], capture_output=True, text=True, check=False)
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    return {Path(row["input"]).stem: row["state"] for row in rows if "input" in row}


def contradicted(out: Path, said: dict[str, str]) -> list[str]:
    """Jobs whose state is not what the files say, when no process runs."""
    wrong = []
    for name, state in said.items():
        whole = all((out / f"{name}_recon{end}").exists() for end in (".nii.gz", ".json", "_job.json"))
        if state != ("done" if whole else "missing"):
            wrong.append(f"{name} {state}")
    return wrong


def changed_at(out: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of the results of jobs that are done, by name."""
    rows = out.rglob("*_job.json")
    volumes = [row.with_name(row.name.replace("_job.json", ".nii.gz")) for row in rows]
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in volumes if path.exists()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    scans, calm, out = (given.output / name for name in ("scans", "calm", "killed"))
    make_scans(scans, given.files)
    print("undisturbed:", ended_batch(scans, calm))
    generator, tally = random.Random(given.seed), Tally()
    rounds = same = 0
    while tally.kills < given.kills:
        rounds += 1
        out = given.output / f"killed{rounds}"
        disturbed(scans, out, generator, tally, given.kills)
        same += results(out) == results(calm)
        tally.left += [path.name for path in out.rglob(".*") if "lock" in path.name or "writing" in path.name]
    print(f"{tally.kills} kills in {rounds} batches of {given.files} files, {tally.within} of them within a job")
    print(f"states that files contradicted: {len(tally.wrong)} {tally.wrong[:3]}")
    print(f"finished jobs done again: {tally.repeated}; batches equal to the undisturbed one to the bit: {same} of {rounds}")
    print(f"files left over: {tally.left}")
    sys.exit(0 if same == rounds and not (tally.wrong or tally.repeated or tally.left) else 1)


@dataclass
class Tally:
    """What was counted over all batches."""

    kills: int = 0
    within: int = 0
    repeated: int = 0
    wrong: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def disturbed(scans: Path, out: Path, generator: random.Random, tally: Tally, most: int) -> None:
    """One batch, killed and started again until it is done."""
    kept: dict[str, tuple[int, int]] = {}
    ended = False
    while not ended:
        process = started(scans, out)
        if tally.kills < most:
            wait(process, out, generator)
            process.kill()
            tally.kills += process.poll() in (None, -signal.SIGKILL)
        process.communicate()
        ended = process.returncode == 0
        if (out / "batch.tsv").exists():
            tally.wrong += contradicted(out, status(out))
        tally.within += any(out.rglob(".*.lock-*"))
        now = changed_at(out)
        tally.repeated += sum(now.get(name) != before for name, before in kept.items())
        kept = now
        print(f"\r{tally.kills} kills, {out.name}: {len(kept)} done", end="", file=sys.stderr, flush=True)


def wait(process: subprocess.Popen[str], out: Path, generator: random.Random) -> None:
    """Until a random moment: one time in five of the start, else after the first job began."""
    if generator.random() < 0.2:
        time.sleep(generator.uniform(0, 5))
        return
    while process.poll() is None and not any(str(process.pid) in lock.read_text() for lock in out.rglob(".*.lock-*")):
        time.sleep(0.02)
    time.sleep(generator.uniform(0, 2.5))


if __name__ == "__main__":
    main()
