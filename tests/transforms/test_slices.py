"""Slices of volumes: loading, degradations and the Fourier grid as MONAI transforms."""

import nibabel
import numpy as np
import pytest
import torch
from monai.transforms import Compose
from scans import phantom

from mri_d3gm.errors import InputError
from mri_d3gm.transforms import BlurSubsampled, Degraded, FourierGridd, LoadSliced, RicianNoised, TruncateKspaced


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> str:
    file = tmp_path_factory.mktemp("volume") / "a.nii.gz"
    volume = 100 * phantom(3, 37, 42).transpose(1, 2, 0)
    nibabel.save(nibabel.Nifti1Image(volume.astype(np.float32), np.diag([1, 1, 4, 1])), file)
    return str(file)


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("kind", ["truncation", "kernel"])
def test_a_slice_is_degraded_and_brought_back_to_its_grid(path: str, kind: str, factor: int) -> None:
    chain = Compose([LoadSliced(multiple=factor), Degraded(kind, factor), FourierGridd(factor)])
    d = chain({"path": path, "slice": 1})
    size = tuple(n - n % factor for n in (37, 42))
    assert d["reference"].shape == size == d["zero_filled"].shape
    low = d["image"]
    assert low.shape == tuple(n // factor for n in size) and d["low_resolution"] is True
    torch.testing.assert_close(d["zero_filled"].real[::factor, ::factor] * d["scale"], low, atol=1e-4 * d["scale"], rtol=1e-4)
    assert float(d["zero_filled"].abs().flatten().quantile(0.99)) == pytest.approx(1, rel=1e-3)
    assert float(low.mean()) == pytest.approx(float(d["reference"].mean()), rel=0.15)


def test_without_a_degradation_there_is_no_reference_and_without_operator_no_kspace(path: str) -> None:
    d = Compose([LoadSliced(), Degraded(), FourierGridd(2, "unknown")])({"path": path, "slice": 0})
    assert d["zero_filled"].shape == (74, 84)
    assert not {"reference", "kspace", "mask"} & set(d)


def test_truncation_can_be_inverted_by_zero_filling() -> None:
    image = torch.from_numpy(phantom(1, 32, 32)[0]).float()
    transform = TruncateKspaced("image", 2)
    low = transform({"image": image})
    for back in (transform, Compose([transform])):
        again = transform(back.inverse(low))
        torch.testing.assert_close(again["image"], low["image"], atol=1e-4, rtol=1e-4)


def test_random_degradations_depend_on_seed_and_slice_alone() -> None:
    image = torch.from_numpy(phantom(1, 32, 32)[0]).float()
    for make in (lambda seed: BlurSubsampled("image", 4, seed), lambda seed: RicianNoised("image", 0.05, seed)):
        first, same, other = (make(seed)({"image": image, "slice": 3})["image"] for seed in (1, 1, 2))
        assert torch.equal(first, same) and not torch.equal(first, other)
        assert not torch.equal(first, make(1)({"image": image, "slice": 4})["image"])


def test_rician_noise_has_its_level() -> None:
    flat = torch.full((64, 64), 5.0)
    noisy = RicianNoised("image", 0.1)({"image": flat})["image"]
    assert float(noisy.std()) == pytest.approx(0.5, rel=0.1) and float(noisy.min()) >= 0


def test_wrong_arguments_are_refused() -> None:
    for make in (lambda: FourierGridd(3), lambda: FourierGridd(4, "magic"), lambda: Degraded("magic")):
        with pytest.raises(InputError):
            make()
