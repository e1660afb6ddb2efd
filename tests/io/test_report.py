"""Laws of the report's page: one file, nothing fetched, small, values and geometry kept, no patient fields, all escaped."""

import base64
import gzip
import hashlib
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
from scans import four_coils, header, write_scan

from mri_d3gm.cli.recon import summary
from mri_d3gm.io import report, report_text
from mri_d3gm.io.report import write_report
from mri_d3gm.io.report_text import sentences
from mri_d3gm.io.sidecar import read_sidecar
from mri_d3gm.settings import Recon, SuperResolve
from mri_d3gm.tasks import recon, sr

HOSTILE = "</script><img src=x onerror=alert(1)>&<!-- facts -->.h5"
TURNED = np.array([[0, -2.0, 0.3, 10], [1.5, 0, 0, -20], [0, 0.4, 4, 30], [0, 0, 0, 1]])


class Page(HTMLParser):
    """Elements with their attributes, and the text of each script by id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.shown, self.inside = "", ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = dict(attrs).get("id") or tag

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] == "script" and self.lasttag == "script":
            self.scripts[self.inside] = self.scripts.get(self.inside, "") + data
        else:
            self.shown += data

    def facts(self) -> dict[str, Any]:
        return json.loads(self.scripts["facts"])

    def volume(self, role: str) -> nibabel.Nifti1Image:
        return nibabel.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(self.scripts[f"volume-{role}"])))


def read(path: Path) -> Page:
    return Page(path.read_text("utf-8"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """Input, page and record of a small reconstruction by the network."""
    folder = tmp_path_factory.mktemp("report")
    path = write_scan(folder / "a.h5", four_coils(48, 40))
    names = recon.names_of(path, folder)
    record, _ = recon.reconstruct_file(path, Recon(accel=4, quality="fast", report=True, device="cpu"), names)
    return path, names.report, record


def arrays(*shape: int, roles: tuple[str, ...] = ("result", "plain", "reference", "std")) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {role: generator.gamma(2, 1, shape).astype(np.float32) for role in roles}


def record_of(record: dict[str, Any], slices: int, frames: int = 1) -> dict[str, Any]:
    """The record of a result with that many slices and frames."""
    one = record["PerSlice"][0]
    places = [{"Frame": frame, "Slice": index} for frame in range(frames) for index in range(slices)]
    return record | {"PerSlice": [one | (place if frames > 1 else {"Slice": place["Slice"]}) for place in places]}


def test_the_page_is_one_file_that_fetches_nothing(made) -> None:
    page = read(made[1])
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "form", "base") or attributes.get("href") == "data:,", tag
        for name in ("src", "href", "srcset", "action", "poster", "data"):
            assert attributes.get(name) is None or attributes[name].startswith("data:"), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes)
    policy = next(attributes["content"] for tag, attributes in page.elements if attributes.get("http-equiv"))
    assert policy.startswith("default-src 'none'") and "http" not in policy and "*" not in policy
    css = made[1].read_text("utf-8").partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in css and "@import" not in css
    own = report.shipped("report", "page.js").read_text("utf-8")
    assert not re.search("https?:|fetch\\(|XMLHttpRequest|import\\(|eval\\(", own)


def test_the_page_says_what_it_is_and_is_not(made) -> None:
    _, path, record = made
    page = read(path)
    assert "Research only · not for diagnosis" in page.shown and "research only, not for diagnosis" in page.shown
    assert "a.h5" in page.shown and record["Weights"]["SHA256"] in page.shown and report_text.UNKNOWN_SIDES in page.shown
    assert "A neural network completed this image from 25 % of a full scan." in page.shown
    assert "WebGL2 is missing" in page.shown and sum(tag == "img" for tag, _ in page.elements) == 2
    assert [view["role"] for view in page.facts()["views"]] == ["result", "plain", "std", "reference", "error"]
    assert not page.facts()["sidesKnown"]


def test_volumes_are_the_results_to_half_a_step_on_the_same_grid(made) -> None:
    path, page, _ = made
    names = recon.names_of(path, path.parent)
    for role, name in (("result", names.result), ("std", names.std)):
        volume, whole = read(page).volume(role), nibabel.load(name)
        array = np.asarray(whole.dataobj)
        step = (array.max() - min(array.min(), 0)) / ((4096 if role == "result" else 128) - 1)
        assert np.abs(np.asarray(volume.dataobj) - array).max() <= 0.51 * step
        np.testing.assert_allclose(volume.affine, whole.affine, atol=1e-4)
        assert volume.header["sform_code"] == whole.header["sform_code"] == 2


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("frames", [1, 3])
def test_every_voxel_stays_where_it_was(axis: int, frames: int, made, tmp_path: Path) -> None:
    shape = [8, 9]
    shape.insert(axis, 5)
    given = arrays(*shape, *([frames] if frames > 1 else []))
    record = record_of(made[2], shape[axis], frames)
    write_report(tmp_path / "a.html", record, given, TURNED, axis=axis, sides_known=True)
    volume = read(tmp_path / "a.html").volume("plain")
    data = np.asarray(volume.dataobj)
    generator = np.random.default_rng(1)
    inverse = np.linalg.inv(volume.affine)
    for _ in range(50):
        index = [generator.integers(size) for size in given["plain"].shape]
        place = np.rint(inverse @ TURNED @ [*index[:3], 1])[:3].astype(int)
        assert data[(*place, *index[3:])] == pytest.approx(given["plain"][tuple(index)], abs=2e-3)
    assert volume.header["sform_code"] == 1


def test_an_empty_reference_gives_no_window(made, tmp_path: Path) -> None:
    found = arrays(12, 14, 3)
    write_report(tmp_path / "a.html", record_of(made[2], 3), found, np.eye(4), sides_known=True)
    whole = read(tmp_path / "a.html").facts()["white"]
    empty = found | {"reference": 0 * found["reference"], "result": 7 * found["reference"]}
    write_report(tmp_path / "a.html", record_of(made[2], 3), empty, np.eye(4), sides_known=True)
    assert read(tmp_path / "a.html").facts()["white"] == pytest.approx(7 * whole)


@pytest.mark.parametrize("worse", [(), ("ssim",), ("psnr",), ("psnr", "ssim")])
def test_what_is_below_zero_filled_is_said(worse: tuple[str, ...], made) -> None:
    plain = {"psnr": 30.0, "ssim": 0.9}
    score = {name: value * (0.9 if name in worse else 1.1) for name, value in plain.items()}
    record = made[2] | {"Metrics": {"fastmri-volume": score}, "MetricsZeroFilled": {"fastmri-volume": plain}}
    said = next(text for text in sentences(record, True)[0] if "Against the reference" in text)
    assert ("below zero-filled" in said) == bool(worse) and all(name.upper() in said.split(".")[-2] for name in worse)
    assert ("below zero-filled" in summary("a", record)) == ("ssim" in worse)
    even = {"psnr": plain["psnr"] - 1e-4, "ssim": plain["ssim"] - 1e-4}
    record["Metrics"] = {"fastmri-volume": even}
    said = " ".join([*sentences(record, True)[0], summary("a", record)])
    assert "below" not in said and "(+0.00 over" in said


def test_signed_values_and_constant_arrays_are_kept() -> None:
    for array in (np.linspace(-3, 5, 60), np.full(5, 2.0), np.zeros(4), np.array([-1.0, -2.0]), np.array([0, 1e-9])):
        for levels in (256, 4096):
            integers, slope, low = report.quantised(array, levels)
            assert np.abs(integers * slope + low - array).max() <= 0.5001 * slope * np.ptp([0, *array]).astype(bool)
            assert integers.min() >= 0 and integers.max() < levels


@pytest.mark.parametrize(("shape", "limit"), [((320, 320, 36), 15e6), ((64, 64, 12), 2.75e6), ((32, 32, 4, 30), 2.8e6)])
def test_the_page_stays_small_and_says_what_it_left_out(shape: tuple[int, ...], limit: float, made, tmp_path: Path) -> None:
    given = arrays(*shape, roles=("result", "plain", "std"))
    record = record_of(made[2], shape[2], shape[3] if len(shape) > 3 else 1)
    write_report(tmp_path / "a.html", record, given, np.diag([1.0, 1, 4, 1]), sides_known=True, limit=limit)
    assert (tmp_path / "a.html").stat().st_size < limit
    page = read(tmp_path / "a.html")
    facts, volume = page.facts(), page.volume("result")
    kept = len(facts["keptSlices"]), len(facts["keptFrames"])
    assert "rounded to" in page.shown
    assert (min(kept) >= 1 and kept != (shape[2], (*shape, 1)[3])) == ("To keep the page small it holds" in page.shown)
    assert volume.header["pixdim"][3] == pytest.approx(4 * np.diff([*facts["keptSlices"], 99])[0] if kept[0] > 1 else 4)
    expected = given["result"][:, :, facts["keptSlices"]]
    expected = expected[..., facts["keptFrames"]] if len(shape) > 3 else expected
    step = expected.max() / 255
    assert np.abs(np.squeeze(np.asarray(volume.dataobj)) - np.squeeze(expected)).max() <= 0.51 * step


def test_hostile_names_are_text(made, tmp_path: Path) -> None:
    record = made[2] | {
        "Input": {"File": HOSTILE, "SHA256": "0"},
        "Warnings": [HOSTILE],
        "Method": HOSTILE,
        "CoilMaps": [HOSTILE],
    }
    record["PerSlice"] = [one | {"CoilMaps": HOSTILE} for one in record["PerSlice"]]
    write_report(tmp_path / "a.html", record, arrays(8, 9, 2), np.eye(4), sides_known=False)
    page, plain = read(tmp_path / "a.html"), read(made[1])
    kinds = [tag for tag, _ in page.elements]
    assert kinds.count("script") == [tag for tag, _ in plain.elements].count("script")
    assert not any("onerror" in attributes for _, attributes in page.elements)
    assert page.facts()["slices"][0]["CoilMaps"] == HOSTILE and page.shown.count(HOSTILE) >= 4
    assert "</script><img" not in (tmp_path / "a.html").read_text("utf-8")


def test_a_name_that_is_no_utf8_is_shown_by_its_codes(made, tmp_path: Path) -> None:
    name = os.fsdecode(b"bad\xe9.h5")
    record = made[2] | {"Input": {"File": name, "SHA256": "0"}, "Warnings": [name]}
    write_report(tmp_path / "a.html", record, arrays(8, 9, 2), np.eye(4), sides_known=False)
    assert read(tmp_path / "a.html").shown.count("bad\\udce9.h5") >= 2


def test_nothing_of_the_patient_is_on_the_page(tmp_path: Path) -> None:
    marked = "Zaphod^Beeblebrox"
    xml = header(48, 40).replace(
        "<encoding>", f"<subjectInformation><patientName>{marked}</patientName></subjectInformation><encoding>", 1
    )
    path = write_scan(tmp_path / "a.h5", four_coils(48, 40), xml)
    with h5py.File(path, "a") as file:
        file.attrs["patient_id"] = marked
    names = recon.names_of(path, tmp_path / "out")
    recon.reconstruct_file(path, Recon(method="zero-filled", report=True), names)
    image = nibabel.Nifti1Image(arrays(12, 14, 3, roles=("result",))["result"], np.diag([1, 1, 5, 1]))
    image.header["descrip"] = marked.encode()
    nibabel.save(image, tmp_path / "b.nii.gz")
    other = sr.names_of(tmp_path / "b.nii.gz", tmp_path / "out")
    sr.superresolve_file(tmp_path / "b.nii.gz", SuperResolve(method="cubic", scale=2, report=True), other)
    for page in (names.report, other.report):
        assert "Zaphod" not in page.read_text("utf-8")
    page = read(other.report)
    assert [view["name"] for view in page.facts()["views"]] == ["cubic · no AI", "Interpolated · no AI"]
    assert "Interpolation, without AI," in page.shown


def test_a_report_is_made_where_it_is_asked_for(tmp_path: Path) -> None:
    path = write_scan(tmp_path / "a.h5")
    names = recon.names_of(path, tmp_path)
    assert names.report == tmp_path / "a_recon_report.html"
    recon.reconstruct_file(path, Recon(method="zero-filled"), names)
    assert not names.report.exists()
    recon.reconstruct_file(path, Recon(method="zero-filled", report=True), names, overwrite=True)
    page = read(names.report)
    assert [view["role"] for view in page.facts()["views"]] == ["result", "reference", "error"] and "without AI" in page.shown
    recon.reconstruct_file(path, Recon(method="zero-filled"), names, overwrite=True)
    assert not names.report.exists()


def test_the_sidecar_has_a_small_record_of_each_slice(tmp_path: Path) -> None:
    kspace = four_coils(72, 64)
    kspace = np.concatenate([kspace, kspace])
    kspace[1] = 0
    generator = np.random.default_rng(0)
    outer = np.abs(np.arange(64) - 32) > 5
    kspace[3][..., outer] = 2 * (generator.normal(size=(2, 4, 72, outer.sum())) * [[[[1]]], [[[1j]]]]).sum(0)
    names = recon.names_of("a.h5", tmp_path)
    chosen = Recon(accel=4, quality="fast", slices="::-1", report=True, device="cpu")
    recon.reconstruct_file(write_scan(tmp_path / "a.h5", kspace.astype(np.complex64)), chosen, names)
    found = read_sidecar(names.sidecar)["PerSlice"]
    assert [one["Slice"] for one in found] == [3, 2, 1, 0] and found[2] == {"Slice": 1, "Flags": ["empty"]}
    for one in (found[0], found[1], found[3]):
        assert set(one) == {
            "Slice", "ErrorBelow", "PSNRAbove", "Light", "WithheldError", "ResidualRelativeToNoise", "Sigma", "CoilMaps",
            "CentreExplained", "Flags",
        }  # fmt: skip
        assert set(one["Flags"]) <= set(report_text.FLAGS)
    assert found[0]["WithheldError"] > found[3]["WithheldError"] and "poor-prediction" in found[0]["Flags"]
    assert len(json.dumps(found)) < 320 * len(found)
    page = read(names.report)
    assert report_text.FLAGS["poor-prediction"] in page.shown and report_text.FLAGS["empty"] in page.shown
    lane = next(lane for lane in page.facts()["lanes"] if lane["name"] == "Withheld lines missed")
    assert lane["values"][2] is None and lane["doubted"] == [True, False, False, False]


def test_places_are_told_by_the_numbers_in_the_file() -> None:
    record = {"PerSlice": [{"Slice": number} for number in (10, 11, 12, 15, 20)]}
    assert report._listed(record, [0, 1, 2, 4]) == "Slices 10–12, 20."
    assert report._listed(record, [3]) == "Slice 15." and report._listed(record, list(range(5))) == "All slices."
    series = {"PerSlice": [{"Frame": frame, "Slice": index} for frame in range(3) for index in range(2)]}
    assert report._listed(series, [1, 4]) == "Frame/slice 0/1, 2/0."


def test_the_page_and_its_licence_are_in_the_package() -> None:
    licence = report.shipped("report", "LICENSE").read_text("utf-8")
    assert "NiiVue 0.69.0" in licence and "Copyright (c) 2021, Niivue" in licence
    assert "</script" not in report.shipped("report", "niivue.umd.js").read_text("utf-8").lower()
    assert "*/" not in licence


def test_niivue_is_the_published_file_but_for_one_string() -> None:
    """sha256 of dist/niivue.umd.js in @niivue/niivue 0.69.0."""
    home = "/".join(["", "home", "web_user"])
    text = report.shipped("report", "niivue.umd.js").read_bytes()
    assert text.count(b'HOME:"/",') == 1 and home.encode() not in text
    published = text.replace(b'HOME:"/",', f'HOME:"{home}",'.encode())
    assert hashlib.sha256(published).hexdigest() == "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"
