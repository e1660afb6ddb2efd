"""A network with what ours do without: batch normalisation, dropout, tables that are not saved, shared weights."""

import csv
from functools import partial

import pytest
import torch
from scans import phantom
from torch import Tensor, nn

from mri_d3gm.networks.channels import from_channels, to_channels
from mri_d3gm.networks.denoiser import NETWORKS, Denoiser
from mri_d3gm.networks.estimates import Estimates
from mri_d3gm.networks.weights import load_weights, save_weights
from mri_d3gm.training.engine import Trainer
from mri_d3gm.training.grow import seeded_denoiser
from mri_d3gm.training.optimisers import Optimisation
from mri_d3gm.training.simulate import simulate
from mri_d3gm.training.sources import Example

SLICES = [Example(torch.from_numpy(image).float() / 3, 1.0, str(index)) for index, image in enumerate(phantom(3, 80, 70))]
SIMULATE = partial(simulate, batch=2, rows=16, cols=48, crop=24)


class Other(nn.Module):
    """Convolution, normalisation, dropout, and the convolution's twin, of an image times a table."""

    table: Tensor

    def __init__(self, features: int = 8) -> None:
        super().__init__()
        self.enter, self.norm = nn.Conv2d(2, features, 3, padding=1), nn.BatchNorm2d(features)
        self.twin = self.enter
        self.up = nn.ConvTranspose2d(features, 2, 3, padding=1)
        self.register_buffer("table", torch.linspace(0.5, 1, 2)[:, None, None], persistent=False)
        self.evaluated = 0

    def forward(self, noisy: Tensor, mu: Tensor, **_: object) -> Estimates:
        self.evaluated += not self.training
        seen = to_channels(mu) * self.table
        hidden = nn.functional.dropout(self.norm(self.enter(seen)) + self.twin(seen), 0.3, self.training)
        return Estimates([mu + from_channels(self.up(hidden).float(), mu)])


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "other", Other)


def trainer(folder, **options) -> Trainer:
    settings = {"steps": 6, "precision": "float32", "validate_every": 3, "checkpoint_seconds": 0.0} | options
    return Trainer(seeded_denoiser(0, network="other", options={}), SLICES, SLICES[:1], str(folder), SIMULATE, **settings)


def losses(folder) -> list[float]:
    with open(folder / "log.csv", newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_it_is_trained_and_goes_on_with_the_losses_of_one_run(tmp_path) -> None:
    trainer(tmp_path / "whole").run()
    part = trainer(tmp_path / "parts")
    steps, simulated = iter(range(4)), part._batch
    part._batch = lambda step: simulated(step) if next(steps, None) is not None else (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        part.run()
    torch.manual_seed(17)
    trainer(tmp_path / "parts").run()
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    first, second = (load_weights(tmp_path / name / "weights.safetensors")[0].state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert int(first["net.norm.num_batches_tracked"]) == 6


def test_it_is_validated_as_it_will_be_used(tmp_path) -> None:
    run = trainer(tmp_path)
    gains = {run.validate(run.denoiser.state_dict()) for _ in range(2)}
    assert len(gains) == 1 and run.denoiser.net.evaluated == 16 and run.denoiser.training  # type: ignore[union-attr]


def test_it_is_loaded_with_its_tables_and_counters(tmp_path) -> None:
    denoiser = seeded_denoiser(0, network="other", options={})
    denoiser.net.norm.num_batches_tracked += 100_000  # type: ignore[union-attr,operator]
    save_weights(tmp_path / "w.safetensors", denoiser, {"steps": 1})
    loaded, _ = load_weights(tmp_path / "w.safetensors")
    assert torch.equal(loaded.net.table, denoiser.net.table)  # type: ignore[arg-type]
    assert int(loaded.net.norm.num_batches_tracked) == 100_000  # type: ignore[union-attr,arg-type]


def test_weights_are_averaged_shared_ones_too_and_buffers_are_kept_as_they_are() -> None:
    denoiser = Denoiser("other", {}, spectral_norm=True)
    optimisation = Optimisation(denoiser, 0.1, 0.0, 0.9)
    for step in range(30):
        denoiser.at_the_end(SIMULATE(SLICES, step).measurement).images[-1].abs().sum().backward()
        before = {name: value.clone() for name, value in optimisation.ema.items()}
        optimisation.step(step, 30)
    state, decay = denoiser.state_dict(), 0.9 if 30 / 39 > 0.9 else 30 / 39
    weights = {name for name, _ in denoiser.named_parameters(remove_duplicate=False)}
    assert {"net.norm.num_batches_tracked", "net.norm.running_mean"} <= state.keys() - weights
    for name, value in state.items():
        wanted = torch.lerp(before[name], value, 1 - decay) if name in weights else value
        torch.testing.assert_close(optimisation.ema[name], wanted)
    vectors = [value for name, value in optimisation.ema.items() if name.endswith(("_u", "_v"))]
    assert vectors and all(float(vector.norm()) == pytest.approx(1, abs=1e-4) for vector in vectors)
