"""Python on the pages of docs/ runs as it stands there."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from scans import fft2c, phantom, write_scan

import mri_d3gm
from mri_d3gm.cli.main import app
from mri_d3gm.dynamics import DYNAMICS
from mri_d3gm.metrics import METRICS
from mri_d3gm.metrics.restoration import RESTORATION_METRICS
from mri_d3gm.physics import MEASUREMENTS
from mri_d3gm.physics.masks import MASKS
from mri_d3gm.samplers import SOLVERS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


@pytest.mark.parametrize("page", ["python", "quickstart", "bundle"])
def test_python_of_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_scan(Path("file.h5"))
    generator = np.random.default_rng(0)
    space: dict[str, Any] = {
        "kspace": fft2c(phantom())[:, None],
        "mask": (np.arange(40) % 3 == 0) | (abs(np.arange(40) - 20) < 6),
        "image": generator.random((12, 16, 2), np.float32),
        "affine": np.diag([2.0, 2, 5, 1]),
        "picture": generator.random((32, 40, 3), np.float32),
    }
    blocks = re.findall("```python\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(block, space)
    if page == "python":
        assert space["sharp"].volume.shape == (24, 32, 2) and space["clean"].image.shape == (32, 40, 3)
        assert 0 < float(space["missed"]) < 1
        fast = mri_d3gm.reconstruct(space["kspace"], space["mask"], quality="fast")
        np.testing.assert_allclose(space["finished"].images, fast.volume, atol=1e-4)
    if page == "bundle":
        assert space["draws"].images.shape == (1, 4, 48, 40)
        result = mri_d3gm.reconstruct("file.h5", accel=8, slices=0, steps=2)
        mean = space["draws"].images.abs().mean(1)[0].numpy() * space["item"]["scale"]
        np.testing.assert_allclose(mean, result.volume[0], rtol=1e-5)
        array = space["prepare"]({"kspace": space["kspace"][0]})
        assert array["zero_filled"].shape == (48, 40)


REGISTRIES = {
    "mathematics": [*(name for name, kind in DYNAMICS.items() if kind.__module__.startswith("mri_d3gm")), *SOLVERS],
    "physics": [*MASKS, *(kind.__name__ for kind in MEASUREMENTS.values())],
    "protocols": [*METRICS, *RESTORATION_METRICS],
}


@pytest.mark.parametrize("page", REGISTRIES)
def test_every_name_of_a_registry_stands_in_a_table_of_its_page(page: str) -> None:
    rows = [line.split("|")[1] for line in (DOCS / f"{page}.md").read_text().splitlines() if line.startswith("| `")]
    assert set(REGISTRIES[page]) <= set(re.findall("`(.+?)`", "".join(rows)))


CARDS = sorted(ROOT.glob("pipelines/*/docs/README.md"))
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md")), *sorted(DOCS.rglob("*.md")), *CARDS]
OTHERS = {"--config_file", "--dataset_dir", "--nproc_per_node"}  # of monai.bundle and torchrun
OTHERS |= {"--array", "--cpus-per-task", "--wrap", "--profile"}  # of sbatch and snakemake


def options(command: click.Command) -> set[str]:
    """All options of a command and of those below it."""
    found = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    if isinstance(command, click.Group):
        context = click.Context(command)
        below = [command.get_command(context, name) for name in command.list_commands(context)]
        found |= {name for one in below if one is not None for name in options(one)}
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_and_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text()
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z_-]+", text)) <= options(app) | OTHERS
    for name in re.findall(r"`([a-z_]+/[\w./-]+\.(?:py|json|ipynb|h5|md))`", text):
        places = (ROOT / name, ROOT / "mri_d3gm" / name, DOCS / name, ROOT / "pipelines" / "reconstruction" / name)
        assert any(place.exists() for place in places), name
    for name in re.findall(r"`(mri_d3gm(?:\.\w+)+)`", text):
        module, _, attribute = name.rpartition(".")
        assert importlib.util.find_spec(module) and (
            hasattr(importlib.import_module(module), attribute) or importlib.util.find_spec(name)
        ), name
