"""LPIPS loads from what is on the machine or gives nothing; it never downloads."""

import sys
import types
import urllib.request

import numpy as np
import pytest
import torch

from mri_d3gm.metrics import score
from mri_d3gm.metrics.lpips import ALEXNET, load_network

VOLUME = np.random.default_rng(0).random((2, 32, 32))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of weights, and a network that must not be used."""

    def refuse(*args, **kwargs):
        raise AssertionError("a download was tried")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def package(monkeypatch, network) -> None:
    module = types.ModuleType("lpips")
    module.LPIPS = network  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lpips", module)


def test_nothing_without_weights(cache, monkeypatch):
    package(monkeypatch, lambda **options: pytest.fail("the package was asked although there are no weights"))
    assert load_network() is None
    assert score(VOLUME, VOLUME, "lpips") == {}


def test_nothing_without_the_package(cache, monkeypatch):
    (cache / ALEXNET).touch()
    monkeypatch.setitem(sys.modules, "lpips", None)
    assert load_network() is None


@pytest.mark.parametrize("error", [RuntimeError, EOFError, OSError])
def test_nothing_where_the_package_or_weights_are_broken(cache, monkeypatch, error):
    def broken(**options):
        raise error("cannot load")

    (cache / ALEXNET).touch()
    package(monkeypatch, broken)
    assert score(VOLUME, VOLUME, "lpips") == {}


def test_the_network_sees_three_channels_from_minus_one_to_one(cache, monkeypatch):
    seen = []

    def distance(first, second):
        seen.append(first)
        return (first - second).abs().mean()

    (cache / ALEXNET).touch()
    package(monkeypatch, lambda **options: distance)
    volume = VOLUME / VOLUME.max() * 5
    volume[0, 0, 0] = 0
    assert score(volume, 0.5 * volume, "lpips") == pytest.approx({"lpips": 0.2 * volume.mean()}, rel=1e-5)
    assert [tuple(image.shape) for image in seen] == [(1, 3, 32, 32)] * 2
    assert min(float(image.min()) for image in seen) == pytest.approx(-1)
    assert max(float(image.max()) for image in seen) == pytest.approx(1)
