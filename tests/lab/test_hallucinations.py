"""Inserted lesions are known, found where all is measured, and never touch the input; results repeat to the bit."""

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from scans import fft2c, header, write_scan

from mri_d3gm.errors import InputError
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.scan import ifft1c, read_reference
from mri_d3gm.io.spikes import mended
from mri_d3gm.lab.charts import curves, missing
from mri_d3gm.lab.hallucinations import (
    Lesion,
    image_of,
    measure_hallucinations,
    measure_inventions,
    prepare_truth,
    with_lesions,
)
from mri_d3gm.metrics.lesions import soft_disc
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.weights import save_weights
from mri_d3gm.settings import Recon

RADII, CONTRASTS = (1.0, 2.0), (-0.4, 0.4)


def head(side: int = 64, coils: int = 1) -> np.ndarray:
    """K-space (1, coils, side, side) of a round head with some texture, phase and noise."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    image = (x**2 + y**2 < 0.75) * (1 + 0.2 * np.sin(9 * x) * np.cos(7 * y)) * np.exp(1j * (x + 0.5 * y))
    places = np.linspace(0, 2 * np.pi, coils, endpoint=False)
    maps = np.stack([np.exp(-((x - np.cos(a)) ** 2 + (y - np.sin(a)) ** 2) / 2) for a in places])
    noise = np.random.default_rng(0).normal(0, 0.005, (2, coils, side, side))
    return fft2c(image * maps + noise[0] + 1j * noise[1])[None]


def scans(folder: Path, coils: int = 1, **more: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    kspace = head(coils=coils)
    write_scan(folder / "a.h5", kspace[:, 0] if coils == 1 else kspace, **more)
    return folder


def measured(data: Path, output: Path, accel: float = 4.0, methods: tuple[str, ...] = ("zero-filled",), **more) -> list[dict]:
    """The rows of hallucinations.csv."""
    options = more.pop("options", {})
    measure_hallucinations(data, output, [accel], methods, options, radii=RADII, contrasts=CONTRASTS, **more)
    with open(output / "hallucinations.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_copies_and_values_given_twice_count_once(tmp_path) -> None:
    data = scans(tmp_path / "data")
    once = measured(data, tmp_path / "once")
    (data / "b.h5").write_bytes((data / "a.h5").read_bytes())
    more = {"radii": RADII * 2, "contrasts": CONTRASTS * 2}
    measure_hallucinations(data, tmp_path / "twice", [4.0, 4.0], ["zero-filled"] * 2, {}, **more)
    assert (tmp_path / "twice" / "hallucinations.csv").read_text() == (tmp_path / "once" / "hallucinations.csv").read_text()
    assert len(once) == len(RADII) * len(CONTRASTS)


def test_a_spike_is_no_part_of_the_truth(tmp_path) -> None:
    """Once a lesion is put into the images, a spike is no longer one sample."""
    data = scans(tmp_path / "data")
    clean = read_reference(open_scan(data / "a.h5"), 0)
    with h5py.File(data / "a.h5", "a") as file:
        file["kspace"][0, 5, 50] = 300
    found = []
    more = {"radii": RADII, "contrasts": CONTRASTS, "on_row": lambda one, done, total: found.append(one)}
    measure_hallucinations(data, tmp_path / "out", [1.0], ["zero-filled"], {}, **more)
    assert {row["detected"] for row in found[0].lesions} == {True} and found[0].inventions[0]["p95"] < 0.05
    np.testing.assert_allclose(read_reference(mended(open_scan(data / "a.h5")), 0), clean, atol=0.01 * clean.max())


def test_all_lesions_are_kept_where_everything_is_measured(tmp_path) -> None:
    rows = measured(scans(tmp_path / "data"), tmp_path / "out", 1.0)
    assert [(float(row["radius"]), float(row["contrast"])) for row in rows] == [(r, c) for c in CONTRASTS for r in RADII]
    assert {row["detected"] for row in rows} == {"True"} and {row["flagged"] for row in rows} == {"False"}
    assert all(float(row["kept"]) == pytest.approx(1, abs=1e-3) for row in rows)
    assert {row["radius_mm"] for row in rows} == {f"{radius * 3**0.5:.2f}" for radius in RADII}
    with open(tmp_path / "out" / "inventions.csv", newline="") as file:
        assert {row["rate"] for row in csv.DictReader(file)} == {"0.0"}
    assert not (tmp_path / "out" / "worst_misses.png").exists()


def test_undersampling_loses_and_invents_and_the_input_stays_as_it_is(tmp_path) -> None:
    data = scans(tmp_path / "data")
    before = (data / "a.h5").read_bytes()
    first, second = (measured(data, tmp_path / name, 8.0, ("zero-filled", "l1-wavelet")) for name in "ab")
    assert first == second and {row["method"] for row in first} == {"zero-filled", "l1-wavelet"}
    assert {row["detected"] for row in first} >= {"False"} and (data / "a.h5").read_bytes() == before
    names = {
        "hallucinations.csv",
        "hallucinations.md",
        "inventions.csv",
        "sfrc.csv",
        "worst_misses.png",
        "worst_inventions.png",
    }
    names |= set() if missing() else {"hallucinations.png"}
    assert {path.name for path in (tmp_path / "a").iterdir()} == names
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert measured(data, tmp_path / "c", 8.0, options={"seed": 1}) != first[: len(first) // 2]


@pytest.mark.parametrize("coils", [1, 4])
def test_a_lesion_scales_every_coil_alike_and_only_at_its_place(coils: int, tmp_path) -> None:
    scan = open_scan(scans(tmp_path, coils) / "a.h5")
    lesion = Lesion((30, 34), 3.0, -0.5)
    with_it = with_lesions(scan, [lesion])
    images = [ifft1c(ifft1c(one.read(0), -2), -1) for one in (scan, with_it)]
    gain = 1 - 0.5 * soft_disc((64, 64), lesion.centre, lesion.radius)
    np.testing.assert_allclose(images[1], images[0] * gain, atol=1e-5)
    references = [read_reference(s, 0) for s in (scan, with_it)]
    np.testing.assert_allclose(references[1], references[0] * gain, atol=1e-5)


def test_places_are_those_of_the_image_that_is_written_where_the_readout_is_oversampled(tmp_path) -> None:
    path = write_scan(tmp_path / "a.h5", head()[:, 0], xml=header(64, 64, oversampling=2))
    scan = open_scan(path)
    assert scan.recon_shape == (32, 64)
    lesion = Lesion((12, 30), 2.0, 0.5)
    references = [read_reference(s, 0) for s in (scan, with_lesions(scan, [lesion]))]
    gain = 1 + 0.5 * soft_disc((32, 64), lesion.centre, lesion.radius)
    np.testing.assert_allclose(references[1], references[0] * gain, rtol=0.02, atol=0.02)


def test_the_files_own_reference_is_not_used(tmp_path) -> None:
    data = scans(tmp_path / "data", reconstruction_esc=np.ones((1, 64, 64), np.float32))
    assert {row["detected"] for row in measured(data, tmp_path / "out", 1.0)} == {"True"}


def test_an_invention_counts_from_half_of_the_smallest_contrast(tmp_path) -> None:
    truth = prepare_truth(open_scan(scans(tmp_path) / "a.h5"), 0, RADII, CONTRASTS, 0)
    assert truth is not None
    centre = tuple(np.argwhere(truth.rooms[2.0])[0])
    for size, counts in ((0.15, False), (0.3, True)):
        image = truth.reference * (1 + size * soft_disc(truth.reference.shape, centre, 2.0))
        rows, worst = measure_inventions(truth, image, {"method": "made"})
        assert worst is not None and (max(row["rate"] for row in rows) > 0) is counts
        assert worst.row["invented"] == pytest.approx(size, rel=0.1)
        assert np.hypot(*np.subtract((worst.row["row"], worst.row["column"]), centre)) < 3


def test_networks_are_measured_and_peers_are_named_as_theirs(tmp_path) -> None:
    torch.manual_seed(0)
    weights = {}
    for name, options in (("consistent", {"blocks": 1, "features": 8}), ("fastmri-unet", {"features": 4, "levels": 2})):
        weights[name] = str(tmp_path / f"{name}.safetensors")
        save_weights(weights[name], Denoiser(name, options), {"steps": 1})
    data, options = scans(tmp_path / "data", 4), {"weights": weights["consistent"], "samples": 2}
    one, two = (
        measured(data, tmp_path / str(n), 4.0, ("d3gm",), peers=[weights["fastmri-unet"]], options=options | {"threads": n})
        for n in (1, 2)
    )
    assert one == two and list(dict.fromkeys(row["method"] for row in one)) == ["d3gm", "fastmri-unet"]


def test_what_cannot_be_measured_is_refused_in_one_line(tmp_path) -> None:
    with pytest.raises(InputError, match="nothing matches"):
        measured(tmp_path, tmp_path / "out")
    write_scan(tmp_path / "a.h5", head()[:, 0] * ([1, 0] * 32))
    with pytest.raises(InputError, match=r"a\.h5: undersampled"):
        measured(tmp_path, tmp_path / "out")
    write_scan(tmp_path / "a.h5", head(12)[:, 0])
    with pytest.raises(InputError, match="no slice has room"):
        measured(tmp_path, tmp_path / "out", 1.0)
    for radii, contrasts in (((0.5,), (0.2,)), ((2.0,), (-1.0,)), ((2.0,), (0.0,))):
        with pytest.raises(InputError, match="--radius must be"):
            measure_hallucinations(tmp_path, tmp_path / "out", [4], ["tv"], {}, radii=radii, contrasts=contrasts)


def test_an_empty_slice_is_left_out(tmp_path) -> None:
    kspace = np.concatenate([np.zeros_like(head()), head()])[:, 0]
    write_scan(tmp_path / "a.h5", kspace)
    assert {row["slice"] for row in measured(tmp_path, tmp_path / "out")} == {"1"}
    assert image_of(open_scan(tmp_path / "a.h5"), 0, Recon(method="zero-filled", accel=4)).max() == 0


@pytest.mark.skipif(missing() is not None, reason="matplotlib is not installed")
def test_the_chart_has_a_panel_for_each_setting_and_a_line_for_each_method() -> None:
    rows = [
        {"accel": accel, "method": method, "contrast": 0.2, "radius": radius, "detected": radius / 8}
        for accel in (4.0, 8.0)
        for method in ("zero-filled", "d3gm", "tv")
        for radius in (8.0, 2.0)
    ]
    panels = curves(rows, ("radius", "detected"), "accel", "contrast").axes
    assert [panel.get_title() for panel in panels] == ["accel 4, contrast 0.2", "accel 8, contrast 0.2"]
    for panel in panels:
        assert [line.get_xydata().tolist() for line in panel.lines] == [[[2.0, 0.25], [8.0, 1.0]]] * 3
        colours = {line.get_label(): line.get_color() for line in panel.lines}
        assert colours["tv"] == colours["zero-filled"] != colours["d3gm"]


def test_the_command_says_what_it_does_and_where_it_wrote(tmp_path, monkeypatch, capsys) -> None:
    from mri_d3gm.cli.benchmark import HALLUCINATIONS

    data, out = scans(tmp_path / "data"), tmp_path / "out"
    asked = ["--method", "zero-filled", "--accel", "4", "--radius", "1,2", "--contrast", "-0.4,0.4"]
    HALLUCINATIONS.main([str(data), "-o", str(out), *asked], standalone_mode=False)
    captured = capsys.readouterr()
    assert "1 of 1  a.h5 slice 0 4x zero-filled:" in captured.err and "of 4 lesions detected" in captured.err
    assert str(out / "hallucinations.md") in captured.out and "zero-filled" in captured.out
    text = (out / "hallucinations.md").read_text()
    assert text.count("\n## ") + text.startswith("## ") == 3
