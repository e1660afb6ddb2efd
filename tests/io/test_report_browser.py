"""The report in a real browser without network: views, keys, slider, strip, frames, and which side is which."""

import importlib.util
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scans import four_coils, phantom, write_scan

from mri_d3gm.io.report import write_report
from mri_d3gm.settings import Recon
from mri_d3gm.tasks import recon

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SOFTWARE = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
LARGE = "#view-large"

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine; install Debian's package chromium"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="playwright is not installed"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        alone = ["--no-sandbox"] if os.getuid() == 0 else []  # Chromium refuses its sandbox to root
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*SOFTWARE, *alone])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a small reconstruction by the network, for pages of any arrays."""
    folder = tmp_path_factory.mktemp("record")
    path = write_scan(folder / "a.h5", four_coils(48, 40))
    return recon.reconstruct_file(path, Recon(accel=4, quality="fast", device="cpu"), recon.names_of(path, folder))[0]


@contextmanager
def opened(browser: Any, path: Path, before: str = "", **options: Any) -> Iterator[tuple[Any, list[str]]]:
    """The page, and a list that what it complains of and asks of the network is written to; before: a script run first."""
    page, trouble = browser.new_page(offline=True, viewport={"width": 1280, "height": 720}, **options), []
    page.on("console", lambda said: trouble.append(f"{said.type}: {said.text}"))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda asked: asked.url.startswith(("data:", "blob:", path.as_uri())) or trouble.append(asked.url))
    page.add_init_script(before)
    page.goto(path.as_uri())
    yield page, trouble
    page.close()


def picture(page: Any, selector: str = LARGE) -> np.ndarray:
    """What is seen there, (rows, cols, 3)."""
    return np.asarray(Image.open(io.BytesIO(page.locator(selector).screenshot())).convert("RGB")).astype(float)


def test_views_keys_slider_and_strip(browser: Any, record: dict[str, Any], tmp_path: Path) -> None:
    shape, frames = (40, 48, 5), 2
    one = phantom(shape[2], *shape[1::-1]).T * np.linspace(0.4, 1, 5)
    result = np.stack([one, one[::-1]], -1).astype(np.float32)
    arrays = {"result": result, "plain": np.roll(result, 4, 0), "reference": 0.9 * result, "std": 0.1 * result}
    per = record["PerSlice"][0]
    places = [per | {"Frame": frame, "Slice": index, "Flags": []} for frame in range(frames) for index in range(shape[2])]
    places[3]["Flags"] = ["poor-prediction"]
    made = record | {"PerSlice": places}
    affine = np.diag([-1.5, 2.0, 5, 1])
    write_report(tmp_path / "a.html", made, arrays, affine, sides_known=True)
    with opened(browser, tmp_path / "a.html") as (page, trouble):
        check_views(page)
    assert not trouble


def check_views(page: Any) -> None:
    assert page.evaluate("report.ready") is True
    assert page.locator("#pictures").is_hidden() and page.locator("#use").is_visible()
    for selector in (LARGE, "#view-plain", "#view-reference", "#view-std", "#view-error"):
        assert picture(page, selector).std() > 5, selector

    page.keyboard.press("x")  # no crosshair in the pictures that are compared
    ai = picture(page)
    assert page.locator(".tag").inner_text() == "AI"
    page.keyboard.press("f")
    assert np.abs(picture(page) - ai).mean() > 1 and page.locator(".tag").inner_text() == "Zero-filled · no AI"
    page.keyboard.press("f")
    assert np.array_equal(picture(page), ai)

    place = page.locator(LARGE).bounding_box()
    page.mouse.move(place["x"] + 100, place["y"] + 100)
    page.mouse.down(button="right")
    page.mouse.move(place["x"] + 130, place["y"] + 100, steps=3)
    page.mouse.up(button="right")
    windows = page.evaluate(
        "report.facts.views.map((view) => report.images[view.role].cal_max * (view.map ? report.facts.gain : 1))"
    )
    assert len(set(np.round(windows, 3))) == 1 and windows[0] > 105
    page.keyboard.press("r")
    assert np.array_equal(picture(page), ai)

    page.locator("#overlay").fill("80")
    laid = picture(page)
    assert (laid.max(-1) - laid.min(-1)).mean() > (ai.max(-1) - ai.min(-1)).mean() + 1
    page.locator("#overlay").fill("0")
    assert np.array_equal(picture(page), ai)

    page.locator(".pick").nth(3).click()
    assert page.evaluate("report.place.slice") == 3 and "Slice 3 · 4 of 5" in page.locator("#slice").inner_text()
    assert "hidden from it were not predicted" in page.locator("#slice").inner_text()
    places_mm = page.evaluate("report.panes.map((pane) => pane.nv.frac2mm(pane.nv.scene.crosshairPos, 0, true)[2])")
    np.testing.assert_allclose(places_mm, 15, atol=0.1)
    assert page.locator('.pick[aria-current="true"]').count() == 1
    page.keyboard.press("ArrowUp")
    assert page.evaluate("report.place.slice") == 4 and not np.array_equal(picture(page), ai)

    before = picture(page)
    page.locator("#frame").select_option("1")
    assert np.abs(picture(page) - before).mean() > 1 and page.evaluate("report.images.std.frame4D") == 1
    assert page.locator(".pick").first.get_attribute("title").startswith("Slice 0")

    page.locator("#view-plain").click(position={"x": 60, "y": 90})
    mm = page.evaluate("report.panes.map((pane) => [...pane.nv.frac2mm(pane.nv.scene.crosshairPos, 0, true)])")
    np.testing.assert_allclose(mm, np.tile(mm[0], (5, 1)), atol=1e-3)


@pytest.mark.parametrize(
    ("world", "signs", "left", "top"),
    [
        ((0, 1, 2), (-1, 1, 1), "R", "A"),
        ((1, 0, 2), (1, 1, -1), "R", "A"),
        ((0, 2, 1), (1, -1, 1), "R", "S"),
        ((1, 2, 0), (-1, -1, -1), "A", "S"),
    ],
    ids=["axial", "turned", "coronal", "sagittal"],
)
def test_sides_are_where_they_are_said_to_be(
    world: tuple[int, ...], signs: tuple[int, ...], left: str, top: str, browser: Any, record: dict[str, Any], tmp_path: Path
) -> None:
    """A blob at the patient's left, anterior and superior, in volumes stored along any axes."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for column, (axis, sign) in enumerate(zip(world, signs, strict=True)):
        affine[axis, column] = sign * (1, 1, 4)[column]
    array = np.zeros((32, 32, 5), np.float32)
    near = {0: -1, 1: 1, 2: 1}  # signs of left, anterior and superior in RAS
    index = [
        int(size * (0.8 if near[axis] * sign > 0 else 0.2)) for axis, sign, size in zip(world, signs, array.shape, strict=True)
    ]
    array[index[0] - 2 : index[0] + 3, index[1] - 2 : index[1] + 3] = 1
    one = record["PerSlice"][0]
    made = record | {"PerSlice": [one | {"Slice": number} for number in range(5)]}
    write_report(tmp_path / "a.html", made, {"result": array}, affine, sides_known=True)
    with opened(browser, tmp_path / "a.html") as (page, _):
        assert page.evaluate("report.ready") is True
        assert (page.locator(".side.left").inner_text(), page.locator(".side.top").inner_text()) == (left, top)
        page.keyboard.press("x")
        bright = picture(page).min(-1) > 180  # grey; the letters are not so bright
    rows, cols = np.nonzero(bright)
    assert len(rows) > 100
    where = {"left": cols.mean() < bright.shape[1] / 2, "top": rows.mean() < bright.shape[0] / 2}
    assert where == {"left": left in "LAS", "top": top in "LAS"}


@pytest.mark.parametrize("tilt", [0, 30, -30])
def test_oblique_slices_are_lettered_as_such(tilt: int, browser: Any, record: dict[str, Any], tmp_path: Path) -> None:
    affine, (cosine, sine) = np.diag([-1.0, 1, 4, 1]), (np.cos(np.radians(tilt)), np.sin(np.radians(tilt)))
    affine[:3, :3] = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]]) @ affine[:3, :3]
    write_report(tmp_path / "a.html", record, {"result": phantom(1, 32, 32).T.astype(np.float32)}, affine, sides_known=True)
    with opened(browser, tmp_path / "a.html") as (page, _):
        assert page.evaluate("report.ready") is True
        sides = {place: page.locator(f".side.{place}").inner_text() for place in ("left", "top", "right", "bottom")}
    top = {0: "A", 30: "AS", -30: "AI"}[tilt]
    assert sides == {"left": "R", "right": "L", "top": top, "bottom": top.translate(str.maketrans("ASI", "PIS"))}


def test_all_is_within_reach_on_narrow_screens_and_on_paper(browser: Any, record: dict[str, Any], tmp_path: Path) -> None:
    made = phantom(1, 40, 48).T.astype(np.float32)
    arrays = {"result": made, "plain": 0.5 * made, "reference": 0.9 * made, "std": 0.1 * made}
    write_report(tmp_path / "a.html", record, arrays, np.eye(4), sides_known=False)
    with opened(browser, tmp_path / "a.html") as (page, trouble):
        assert page.evaluate("report.ready") is True
        for width in (1400, 1024, 700, 500, 390):
            page.set_viewport_size({"width": width, "height": 844})
            boxes = [one.bounding_box() for one in page.locator(".large > h2 button").all()]
            view = page.locator(".large > h2").bounding_box()
            assert len(boxes) == 4
            assert all(box["width"] > 20 and box["x"] + box["width"] <= view["x"] + view["width"] for box in boxes), width
            apart = [page.locator(name).bounding_box() for name in (".sides", "#window")]
            assert apart[0]["y"] + apart[0]["height"] <= apart[1]["y"] + 2 or apart[0]["x"] + apart[0]["width"] <= apart[1]["x"]
        page.get_by_role("button", name="flicker").click()
        assert page.locator(".tag").inner_text() == "Zero-filled · no AI"
        page.pdf()
        page.emulate_media(media="print")
        said = page.locator("body").inner_text()
        assert "shows no views" not in said and "crosshair" not in said and "Keys and mouse" not in said
        row = page.locator("#paper tr").nth(1).inner_text().split()
        lane = page.evaluate("report.facts.lanes[0].values[0]")
        assert float(row[1]) == pytest.approx(lane, rel=0.01)
        assert page.locator("#pictures img").first.is_visible()
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == "rgb(255, 255, 255)" and not trouble


@pytest.mark.parametrize("scripts", [True, False])
def test_pictures_stand_in_where_there_is_no_webgl2_or_no_script(
    scripts: bool, browser: Any, record: dict[str, Any], tmp_path: Path
) -> None:
    write_report(tmp_path / "a.html", record, {"result": phantom().T.astype(np.float32)}, np.eye(4), sides_known=False)
    without = "HTMLCanvasElement.prototype.getContext = () => null"
    with opened(browser, tmp_path / "a.html", without, java_script_enabled=scripts) as (page, _):
        assert not scripts or page.evaluate("report.ready") is False
        assert "WebGL2 is missing" in page.locator("#why").inner_text() and page.locator("#use").is_visible()
        assert page.locator("#pictures img").count() == 2 and page.locator("#views").is_hidden()
        assert "Left and right are not known" in page.locator("aside").inner_text()
        assert picture(page, "#pictures img >> nth=0").std() > 10
