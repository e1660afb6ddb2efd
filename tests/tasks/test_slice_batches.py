"""Slices in batches: what comes out does not depend on which slices share one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scans import four_coils

from mri_d3gm import pipeline
from mri_d3gm.compute import LARGEST, in_one_batch
from mri_d3gm.io.open_scan import scan_of_array
from mri_d3gm.io.scan import Scan
from mri_d3gm.settings import Recon
from mri_d3gm.tasks.recon import Reconstruction, load, reconstruct

LINES = (abs(np.arange(40) - 20) < 6)[None] | np.stack([np.arange(40) % step == 0 for step in (3, 4)])
WRONG = np.exp(1j * np.random.default_rng(0).uniform(0, 2 * np.pi, (4, 1, 1))) / 2 * np.ones((1, 48, 40))


def volume() -> Scan:
    """Six slices of four coils: the third is empty, the fifth and the sixth have another mask, the second coil maps that are
    wrong.
    """
    kspace = np.concatenate([scale * four_coils(48, 40) for scale in (1.0, 1.3, 0.8)]).astype(np.complex64)
    kspace[2] = 0
    masks = [LINES[int(index > 3)][None] for index in range(6)]
    kspace *= np.stack(masks)[:, None]
    good = [one.measurement.coil_maps[0].numpy() for one in map(prepared, kspace[[0, 0, 0, 3, 4, 5]], masks)]
    maps = [WRONG if index == 1 else one for index, one in enumerate(good)]
    return replace(scan_of_array(kspace, LINES.any(0)), masks=masks.__getitem__, coil_maps=maps.__getitem__)


def prepared(kspace: np.ndarray, mask: np.ndarray) -> pipeline.Prepared:
    return pipeline.prepare(torch.from_numpy(kspace)[None], torch.from_numpy(mask))


def counted(batch: int, **options: Any) -> tuple[Reconstruction, list[list[int]], list[tuple[int, int]]]:
    """The result, the indices of each batch, and what progress was told."""
    indices: list[list[int]] = []
    told: list[tuple[int, int]] = []

    def solve(measurement: Any, network: Any, settings: Any, chosen: Sequence[int], **rest: Any) -> Any:
        assert len(measurement) == len(chosen)
        indices.append(list(chosen))
        return pipeline.solve(measurement, network, settings, chosen, **rest)

    settings = Recon(device="cpu", threads=1, **options)
    result = reconstruct(volume(), settings, solve=solve, progress=lambda *count: told.append(count), batch=batch)
    return result, indices, told


@pytest.mark.parametrize("options", [{"quality": "fast", "samples": 2}, {"method": "regression"}])
def test_slices_of_a_batch_are_those_of_batches_of_one(options: dict[str, Any]) -> None:
    (alone, ones, _), (some, pairs, _), (every, alike, told) = (counted(size, **options) for size in (1, 2, 6))
    assert ones == [[0], [1], [3], [4], [5]] and pairs == [[0, 1], [3], [4, 5]] and alike == [[0, 1, 3], [4, 5]]
    for other in (some, every):
        for name in ("volume", "std", "zero_filled"):
            one, many = getattr(alone, name), getattr(other, name)
            np.testing.assert_allclose(many, one, rtol=0, atol=1e-5 * alone.volume.max())
        assert not other.volume[2].any() and all(image.any() for image in np.delete(other.volume, 2, 0))
        for one, many in zip(alone.record["PerSlice"], other.record["PerSlice"], strict=True):
            assert one.keys() == many.keys() and one["Flags"] == many["Flags"]
            missed = [float(record.get("WithheldError") or 0) for record in (one, many)]
            assert missed[0] == pytest.approx(missed[1], rel=1e-3)
        for name in ("Evaluations", "EmptySlices", "CoilMaps", "Noise", "SmoothPhaseSlices"):
            assert alone.record[name] == other.record[name]
        assert alone.record["Trust"]["SecondLooks"] == other.record["Trust"]["SecondLooks"]
    if options.get("method") is None:
        assert 0 < alone.record["Trust"]["SecondLooks"] < 5 and "low-resolution in place of given" in alone.record["CoilMaps"]
        assert told == sorted(told) and told[-1][0] == told[-1][1] == len(ones) / len(ones) * told[0][1]


def test_without_a_gpu_a_slice_is_a_batch_of_its_own() -> None:
    sizes = []

    def solve(measurement: Any, *arguments: Any, **rest: Any) -> Any:
        sizes.append(len(measurement))
        return pipeline.solve(measurement, *arguments, **rest)

    settings = Recon(accel=4, quality="fast", device="cpu")
    reconstruct(scan_of_array(four_coils(48, 40)), settings, network=load(settings), solve=solve)
    assert sizes == [1, 1]


def test_a_gpus_batch_fits_into_half_of_its_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * 10**9, 4 * 10**9))
    assert [in_one_batch("cuda", each) for each in (10**8, 9 * 10**8, 10**10, 1.0)] == [10, 1, 1, LARGEST]
    assert in_one_batch("cpu", 1.0) == 1
