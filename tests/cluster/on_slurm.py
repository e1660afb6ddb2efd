"""The workflow on a real Slurm, while jobs are cancelled and killed and the node is drained.

    python tests/cluster/slurm_node.py start SLURM
    python tests/cluster/on_slurm.py FOLDER [--files 60] [--chunk 5]

One job is cancelled with scancel, one process is killed (SIGKILL), and the node is drained and resumed. The end is held against
an undisturbed batch: all results there and equal to the bit, the state right at each look, and nothing done twice.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
from batch_faults import OPTIONS, changed_at, ended_batch, make_scans, results, status

CONFIG = {"manifest": "../scans", "output": "out", "run": "recon", "options": " ".join(OPTIONS), "threads": 1, "mem_mb": 1500}
CONFIG |= {"runtime": 30, "gpu": 0, "retries": 3, "retry_failed": False}


def running_jobs() -> list[str]:
    """Numbers of the jobs that run."""
    found = subprocess.run(["squeue", "-h", "-t", "R", "-o", "%A"], capture_output=True, text=True, check=True)
    return found.stdout.split()


def batches() -> list[int]:
    """Processes of `mri-d3gm batch` that have begun a job."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"--shard" in words and any(word.endswith(b"mri-d3gm") for word in words[:2]):
            found.append(int(place.parent.name))
    return found


def waited(what: str, happened) -> None:
    """Until something is so, five minutes at most."""
    for _ in range(3000):
        if happened():
            return
        time.sleep(0.1)
    sys.exit(f"{what} did not happen")


def looked(out: Path, tally: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Hold the state against the files; what is done. A job counts as done before its results are looked at, never after."""
    said = status(out)
    kept = changed_at(out)
    for name, state in said.items():
        if state == "done" and f"{name}_recon.nii.gz" not in kept:
            tally["wrong"] += 1
    tally["looks"] += 1
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=60)
    parser.add_argument("--chunk", type=int, default=5)
    given = parser.parse_args()
    scans, calm, flow = (given.folder.resolve() / name for name in ("scans", "calm", "flow"))
    make_scans(scans, given.files)
    print("undisturbed:", ended_batch(scans, calm))
    subprocess.run(["mri-d3gm", "workflow", "init", str(flow)], check=True, capture_output=True)
    (flow / "config.yaml").write_text(json.dumps(CONFIG | {"chunk": given.chunk}))
    words = ["snakemake", "--profile", "profiles/slurm", "--slurm-status-command", "squeue", "--slurm-no-account",
             "--slurm-init-seconds-before-status-checks", "5"]  # fmt: skip
    begun, out, tally = time.monotonic(), flow / "out", {"looks": 0, "wrong": 0}
    with open(given.folder / "snakemake.log", "w") as log:
        process = subprocess.Popen(words, cwd=flow, stdout=log, stderr=subprocess.STDOUT)
    waited("a first result", lambda: len(list(out.glob("*_job.json"))) > 2)
    jobs = running_jobs()
    subprocess.run(["scancel", jobs[0]], check=True)
    print(f"scancel {jobs[0]} after {len(list(out.glob('*_job.json')))} results")
    kept = looked(out, tally)
    waited("a batch at work", lambda: any(out.glob(".*.lock-*")) and batches())
    killed = random.choice(batches())
    os.kill(killed, signal.SIGKILL)
    print(f"SIGKILL {killed} after {len(list(out.glob('*_job.json')))} results")
    kept |= looked(out, tally)
    node = os.uname().nodename.split(".")[0]
    subprocess.run(["scontrol", "update", f"nodename={node}", "state=drain", "reason=test"], check=True)
    time.sleep(15)
    drained = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True).stdout.strip()
    kept |= looked(out, tally)
    subprocess.run(["scontrol", "update", f"nodename={node}", "state=resume"], check=True)
    print(f"node {drained}, then resumed, after {len(list(out.glob('*_job.json')))} results")
    while process.poll() is None:
        kept = looked(out, tally) | kept
        time.sleep(5)
    now = changed_at(out)
    repeated = [name for name, before in kept.items() if now.get(name) != before]
    counts = json.loads((out / "results.jsonl").read_text().splitlines()[-1]) if (out / "results.jsonl").exists() else {}
    same = results(out) == results(calm)
    left = [path.name for path in out.rglob(".*lock*")]
    print(f"snakemake's exit code {process.returncode}, {time.monotonic() - begun:.0f} s; {counts}")
    print(f"{tally['looks']} looks at the state, {tally['wrong']} contradicted by files; done twice: {repeated}; locks: {left}")
    print(f"results equal to the undisturbed batch to the bit: {same}")
    sys.exit(0 if same and process.returncode == 0 and not (repeated or left or tally["wrong"]) else 1)


if __name__ == "__main__":
    main()
