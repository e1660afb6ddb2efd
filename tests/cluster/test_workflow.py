"""The Snakemake workflow on this machine, as `mri-d3gm workflow init` writes it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from scans import write_scan

from mri_d3gm.errors import InputError
from mri_d3gm.tasks.workflow import init

CONFIG = {"manifest": "../in", "output": "out", "run": "recon", "options": "--method zero-filled --accel 4", "chunk": 2}
CONFIG |= {"threads": 1, "mem_mb": 1000, "runtime": 5, "gpu": 0, "retries": 1, "retry_failed": False}


def snakemake(flow: Path) -> subprocess.CompletedProcess[str]:
    """Run the workflow with the commands of this environment."""
    pytest.importorskip("snakemake", reason="the extra cluster is not installed")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    words = [sys.executable, "-m", "snakemake", "--profile", "profiles/local", "--cores", "2"]
    return subprocess.run(words, cwd=flow, capture_output=True, text=True, env=os.environ | {"PATH": path}, check=False)


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    init(tmp_path / "flow")
    return tmp_path / "flow"


def test_it_runs_in_chunks_says_what_failed_and_runs_nothing_twice(flow: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_scan(tmp_path / "in" / f"{name}.h5")
    (tmp_path / "in" / "b.h5").write_bytes(b"no scan")
    (tmp_path / "in" / "gone.h5").symlink_to("nowhere")
    (flow / "config.yaml").write_text(json.dumps(CONFIG))
    run = snakemake(flow)
    assert run.returncode == 0, run.stderr
    *rows, counts = [json.loads(line) for line in (flow / "out" / "results.jsonl").read_text().splitlines()]
    assert {Path(row["input"]).name: row["state"] for row in rows} == {
        "a.h5": "done", "b.h5": "failed", "c.h5": "done", "gone.h5": "failed",
    }  # fmt: skip
    assert counts["Jobs"] == 4 and "shard 1 of 2: 2 of 4 inputs" in run.stderr
    before = (flow / "out" / "a_recon.nii.gz").stat().st_mtime_ns
    assert "Nothing to be done" in snakemake(flow).stderr
    write_scan(tmp_path / "in" / "d.h5")
    assert snakemake(flow).returncode == 0 and (flow / "out" / "d_recon.nii.gz").exists()
    assert (flow / "out" / "a_recon.nii.gz").stat().st_mtime_ns == before


def test_a_bad_manifest_or_configuration_is_refused_before_anything_runs(flow: Path) -> None:
    (flow / "config.yaml").write_text(json.dumps(CONFIG))
    run = snakemake(flow)
    assert run.returncode and "no inputs for recon in it" in run.stderr and not (flow / "out").exists()
    (flow / "config.yaml").write_text(json.dumps(CONFIG | {"chunk": 0}))
    run = snakemake(flow)
    assert run.returncode and "chunk" in run.stderr and not (flow / "out").exists()


def test_it_is_written_to_a_new_folder_alone(flow: Path) -> None:
    assert {"Snakefile", "config.yaml", "config.schema.json"} <= {path.name for path in flow.iterdir()}
    with pytest.raises(InputError, match="is there already"):
        init(flow)
