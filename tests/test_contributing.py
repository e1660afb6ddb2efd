"""The steps of docs/extending.md, followed for one of each: the page's own code is registered by one line and run."""

import json
import re
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from cascade import Cascade
from dynamics import test_laws
from metrics import test_protocols
from networks import test_denoiser
from physics import test_masks
from physics import test_measurement as laws
from read_mgh import is_mgh, read_mgh
from read_samples import MAGIC, is_samples, read_samples
from samplers import test_grids, test_sample, test_solvers
from scans import fft2c, phantom
from voids import Voids
from write_mgh import write_mgh

import mri_d3gm
from mri_d3gm import pipeline
from mri_d3gm.dynamics import DYNAMICS, make_path
from mri_d3gm.dynamics.schedules import SCHEDULES
from mri_d3gm.errors import InputError
from mri_d3gm.io.image import make_image
from mri_d3gm.io.open_image import READERS, Reader, open_image
from mri_d3gm.io.open_scan import SCAN_READERS, ScanReader, open_scan
from mri_d3gm.io.save_image import WRITERS, save_image
from mri_d3gm.lab.reproduce import OVERLAYS
from mri_d3gm.methods import METHODS
from mri_d3gm.metrics import METRICS, score
from mri_d3gm.networks.denoiser import NETWORKS, Denoiser
from mri_d3gm.networks.weights import load_weights, save_weights
from mri_d3gm.physics import MEASUREMENTS, Cartesian, masks
from mri_d3gm.samplers import SOLVERS
from mri_d3gm.settings import Recon

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "extending.md"
AFFINE = np.array([[0, 0.0, 3, -40], [-1.5, 0, 0, 20], [0, 2.0, 0, 7], [0, 0, 0, 1]])


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line as the page has it."""
    monkeypatch.setitem(SCAN_READERS, "samples", ScanReader(is_samples, read_samples, (".samples",)))
    monkeypatch.setitem(READERS, "MGH", Reader(is_mgh, read_mgh, (".mgh", ".mgz")))
    monkeypatch.setitem(WRITERS, ".mgz", write_mgh)
    monkeypatch.setitem(MEASUREMENTS, "voids", Voids)
    monkeypatch.setitem(NETWORKS, "cascade", Cascade)
    monkeypatch.setitem(test_denoiser.SMALL, "cascade", {"stages": 2, "features": 8, "embedding": 16})


@pytest.mark.parametrize(
    "line",
    [
        '"samples": ScanReader(is_samples, read_samples, (".samples",))',
        '"MGH": Reader(is_mgh, read_mgh, (".mgh", ".mgz"))',
        '".mgz": write_mgh',
        '"voids": Voids',
        '"cascade": Cascade',
    ],
)
def test_the_page_shows_the_line_and_the_file_that_are_tested(line: str) -> None:
    text = PAGE.read_text()
    assert line in text
    for name in ("read_samples", "read_mgh", "write_mgh", "voids", "cascade"):
        assert f'--8<-- "examples/{name}.py"' in text


def test_a_reader_of_scans(tmp_path: Path) -> None:
    kspace = np.stack([fft2c(phantom()), 1j * fft2c(phantom())], 1)[None]  # frames, slices, coils, rows, cols
    shape = dict(zip(("frames", "slices", "coils", "rows", "cols"), kspace.shape, strict=True))
    header, path = json.dumps({"shape": shape, "voxel_mm": [2, 1, 4]}).encode(), tmp_path / "scan.samples"
    path.write_bytes(MAGIC + header + b"\n" + kspace.tobytes())
    scan = open_scan(path)
    assert (scan.slices, scan.coils, scan.rows, scan.cols, scan.mask, scan.voxel_mm) == (2, 2, 48, 40, None, (2, 1, 4))
    assert np.array_equal(scan.read(1), kspace[0, 1])
    result = mri_d3gm.reconstruct(path, method="zero-filled", accel=1)
    np.testing.assert_allclose(result.volume, phantom() * 2**0.5, atol=1e-4)
    for content, message in ((header + b"\nshort", "bytes are not those of"), (b'{"shape": 3}\n', "cannot be read")):
        path.write_bytes(MAGIC + content)
        with pytest.raises(InputError, match=f"scan.samples: .*{message}"):
            open_scan(path)
    path.rename(tmp_path / "scan.raw").write_bytes(b"of Philips")
    with pytest.raises(InputError, match="is Philips raw data"):
        open_scan(tmp_path / "scan.raw")


@pytest.mark.parametrize("ending", [".mgh", ".mgz", ""])
def test_a_reader_of_images(tmp_path: Path, ending: str) -> None:
    import nibabel

    array = np.random.default_rng(0).random((5, 6, 7), np.float32)
    nibabel.save(nibabel.MGHImage(array, AFFINE), tmp_path / f"made{ending or '.mgz'}")
    path = (tmp_path / f"made{ending or '.mgz'}").rename(tmp_path / f"volume{ending}")
    image = open_image(path)
    assert np.array_equal(image.array, array) and image.source["format"] == "MGH"
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-4)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="volume"):
        open_image(path)


def test_a_writer_of_images(tmp_path: Path) -> None:
    array = np.random.default_rng(0).random((5, 6, 7, 3), np.float32)
    image = make_image("made", array, AFFINE, (), time_step=0.8)
    save_image(tmp_path / "out.mgz", image, 1, "made here")
    again = open_image(tmp_path / "out.mgz")
    assert np.array_equal(again.array, array) and again.time_step == pytest.approx(0.8)
    np.testing.assert_allclose(again.affine, AFFINE, atol=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mgz"]


def laws_of(module: ModuleType, *arguments: str) -> list[str]:
    """Tests of a module that take these arguments and nothing else."""
    tests = [(name, law) for name, law in vars(module).items() if name.startswith("test_")]
    return [name for name, law in tests if list(signature(law).parameters) == list(arguments)]


@pytest.mark.parametrize("law", laws_of(laws, "measurement"))
def test_a_measurement(law: str) -> None:
    for seed in range(3):
        for size in ((16, 18), (15, 13)):
            image = laws.normal((laws.BATCH, *size), seed)
            getattr(laws, law)(MEASUREMENTS["voids"].simulate(image, torch.Generator().manual_seed(seed)))


def measured(batch: int = 2) -> tuple[torch.Tensor, Cartesian]:
    images = torch.from_numpy(phantom(batch)).to(torch.complex64)
    mask = (torch.arange(40) % 3 == 0) | (abs(torch.arange(40) - 20) < 4)
    kspace = torch.from_numpy(fft2c(phantom(batch)))[:, None]
    return images, Cartesian(kspace, mask[None, None])


@pytest.mark.parametrize("law", laws_of(test_denoiser, "network"))
def test_a_network_holds_the_laws(law: str) -> None:
    getattr(test_denoiser, law)("cascade")


def test_a_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Denoiser("cascade", test_denoiser.SMALL["cascade"])
    images, measurement = measured()
    optimiser, losses = torch.optim.Adam(network.parameters(), 0.01), []
    for _ in range(20):
        loss = (network.at_the_end(measurement).images[-1] - images).abs().mean()
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.95 * losses[0]
    save_weights(tmp_path / "weights.safetensors", network, {"steps": 20})
    assert isinstance(load_weights(tmp_path / "weights.safetensors")[0].net, Cascade)
    kspace, mask = fft2c(phantom()), measurement.mask[0, 0].numpy()
    result = mri_d3gm.reconstruct(kspace, mask, weights=tmp_path / "weights.safetensors", method="regression")
    error, before = (np.abs(image - phantom()).mean() for image in (result.volume, result.zero_filled))
    assert error < before and result.record["Weights"]["File"] == "weights.safetensors"


def shown(name: str) -> Any:
    """What a block of the page defines."""
    code = next(block for block in re.findall("```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if f"def {name}(" in block)
    space: dict[str, Any] = {}
    exec(code, space)
    return space[name]


@pytest.mark.parametrize("dynamics", [name for name in DYNAMICS if hasattr(make_path(name), "schedule")])
def test_a_schedule(dynamics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert '"quartic": quartic' in PAGE.read_text()
    monkeypatch.setitem(SCHEDULES, "quartic", shown("quartic"))
    path = make_path(dynamics, schedule="quartic")
    test_grids.test_steps_are_equal_in_the_named_clock(path)
    for law in laws_of(test_laws, "path"):
        getattr(test_laws, law)(path)


def test_a_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOLVERS, "alternating", shown("alternating"))
    monkeypatch.setitem(test_solvers.ORDERS, "alternating", 1)
    for dynamics in DYNAMICS:
        test_sample.test_last_step_is_the_consistent_estimate_and_never_nan(
            dynamics, "alternating", "log-odds", torch.complex64
        )
    test_solvers.test_measured_order_of_convergence(make_path("d3gm"), "alternating")


def test_a_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(masks.MASKS_1D, "golden", shown("golden"))
    monkeypatch.setattr(masks, "MASKS", (*masks.MASKS, "golden"))
    test_masks.test_every_mask_is_seeded_has_a_full_centre_and_about_the_acceleration("golden")
    test_masks.test_axis_readout_undersamples_rows("golden")


def test_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, "nrmse", shown("nrmse"))
    assert score(phantom(), 0.9 * phantom(), "nrmse")["nrmse"] == pytest.approx(0.1)
    pair = test_protocols.textured()
    for law in laws_of(test_protocols, "protocol", "pair"):
        getattr(test_protocols, law)("nrmse", pair)


def test_a_method(monkeypatch: pytest.MonkeyPatch) -> None:
    images, measurement = measured()
    monkeypatch.setitem(METHODS[Recon], "zero-filled", shown("windowed"))
    draws = pipeline.solve(measurement, None, Recon(method="zero-filled"))
    assert draws.images.shape == (2, 1, 48, 40) and bool(draws.images.abs().amax() < images.abs().amax())


def test_imports_run_downwards_in_the_list_of_folders() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    lines = [re.findall("`([a-z]+)(?:\\.py)?`", line.split("|")[1]) for line in text.splitlines() if line.startswith("| `")]
    place = {name: number for number, names in enumerate(lines) for name in names}
    package = ROOT / "mri_d3gm"
    assert set(place) == {
        path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    } - {
        "__init__",
        "__main__",
    }
    for path in package.rglob("*.py"):
        own = path.relative_to(package).parts[0].removesuffix(".py")
        for one, other in re.findall(r"^ *from mri_d3gm(?:\.(\w+))?[\w.]* import (\w+)", path.read_text(), re.MULTILINE):
            name = one or other
            if own in place and name in place:
                assert place[name] <= place[own], f"{path} imports {name}"


def test_only_the_command_line_prints_and_io_does_without_torch() -> None:
    package, torch_imported = ROOT / "mri_d3gm", re.compile(r"^ *(import|from) torch\b", re.MULTILINE)
    for path in package.rglob("*.py"):
        folders = path.relative_to(package).parts
        assert " print(" not in path.read_text() or "cli" in folders, path
        assert not torch_imported.search(path.read_text()) or "io" not in folders, path


def test_what_the_page_says_of_a_file_is_in_it() -> None:
    assert not re.search(r"import .*\b_", PAGE.read_text())  # such names may change
    named = re.findall(r"`(\w+)` (?:of|in)\s`((?:\w+/)*\w+\.py)`", PAGE.read_text())
    assert len(named) > 8
    for name, file in named:
        path = ROOT / file if file.startswith("tests") else ROOT / "mri_d3gm" / file
        assert re.search(rf"\b{name}\b", path.read_text()), f"{name} of {file}"


def test_every_configuration_is_told_of_or_used() -> None:
    overlays = sorted((ROOT / "configs").glob("*.json"))
    pages = [*overlays, *(ROOT / "docs").rglob("*.md"), *(ROOT / "pipelines").rglob("*.md")]
    named = set(re.findall(r"[\w-]+", "\n".join(path.read_text() for path in pages)))
    assert overlays and {path.stem for path in overlays} <= named | set(OVERLAYS.values())


@pytest.mark.parametrize("folder", ["mri_d3gm", "pipelines", "configs", "docs", "scripts", "tests"])
def test_no_file_names_a_home_folder(folder: str) -> None:
    """Paths of the machine that something was made on have no place here, in files of other projects neither."""
    home = re.compile(rb"(?<![\w.])/(?:home|root|Users|workspace|mnt)/\w")
    ends = {".py", ".md", ".json", ".js", ".css", ".html", ".ipynb", ".toml", ".tsv", ".yml", ""}
    files = [file for file in (ROOT / folder).rglob("*") if file.is_file() and file.suffix in ends]
    assert files and not [file for file in files if home.search(file.read_bytes())]
