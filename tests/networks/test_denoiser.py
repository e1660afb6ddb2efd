from tempfile import TemporaryDirectory

import pytest
import torch

from mri_d3gm.dynamics import DYNAMICS
from mri_d3gm.errors import InputError
from mri_d3gm.networks.denoiser import NETWORKS, Denoiser
from mri_d3gm.networks.precondition import precondition
from mri_d3gm.networks.weights import load_network, load_weights, save_weights
from mri_d3gm.physics import Cartesian, Measurement, Unknown
from mri_d3gm.physics.operators import forward

SMALL = {
    "consistent": {"blocks": 2, "features": 8, "embedding": 16, "deep": True, "foretell": True},
    "unet": {"features": 8, "levels": 2},
    "nafnet": {"features": 8, "levels": 2},
    "scattering": {"features": 8, "levels": 2, "channels": 3},
    "fastmri-unet": {"features": 4, "levels": 2},
    "fastmri-varnet": {"features": 4, "levels": 2, "cascades": 2},
}
START_ELSEWHERE = ("scattering", "fastmri-unet", "fastmri-varnet")  # than at the skip path


def trained(network: str = "consistent", seed: int = 0, **options) -> Denoiser:
    """A denoiser whose zero-initialised layers were shaken."""
    torch.manual_seed(seed)
    denoiser = Denoiser(network, SMALL[network], **options)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return denoiser.eval()


def scan(rows: int = 20, cols: int = 22, coils: int = 1, mask_shape=(1, 22), seed: int = 0) -> Cartesian:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(2, rows, cols, dtype=torch.complex64, generator=generator)
    mask = torch.rand(1, *mask_shape, generator=generator) < 0.5
    mask[..., mask_shape[0] // 2, mask_shape[1] // 2] = True
    maps = None
    if coils > 1:
        maps = torch.randn(2, coils, rows, cols, dtype=torch.complex64, generator=generator)
        maps = maps / torch.linalg.vector_norm(maps, dim=1, keepdim=True)
    return Cartesian(forward(image, mask, maps), mask, maps)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("rows", "cols"), [(20, 22), (17, 19)])
def test_every_network_takes_any_size_and_one_real_tensor(network: str, rows: int, cols: int) -> None:
    shape = 2, SMALL[network].get("channels", 2), rows, cols
    assert trained(network)(torch.randn(shape)).shape == shape


def seen_by(network: str) -> Measurement:
    """Two scans of one coil, or two photographs."""
    channels = SMALL[network].get("channels", 2)
    return scan() if channels == 2 else Unknown(torch.rand(2, channels, 20, 22, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_answers_each_of_a_batch_as_alone(network: str) -> None:
    denoiser, measurement = trained(network), seen_by(network)
    together = denoiser.at_the_end(measurement).images[-1]
    for index in range(2):
        alone = denoiser.at_the_end(measurement[index]).images[-1]
        torch.testing.assert_close(alone[0], together[index], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("network", NETWORKS)
def test_what_close_leaves_out_is_the_last_agreement(network: str) -> None:
    denoiser, measurement = trained(network), seen_by(network)
    closed, left = (denoiser.at_the_end(measurement, close=close).images[-1] for close in (True, False))
    residual = measurement.residual(left)
    assert residual is None or bool((residual > 1e-3).all())
    if not torch.equal(closed, left):
        torch.testing.assert_close(measurement.agree(left), closed, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_is_trained_in_bfloat16_too(network: str) -> None:
    denoiser, measurement = trained(network), seen_by(network)
    with torch.autocast("cpu", torch.bfloat16):
        answer = denoiser.at_the_end(measurement).images[-1]
    assert answer.shape == measurement.prior_mean().shape and answer.dtype == measurement.prior_mean().dtype
    answer.abs().sum().backward()
    assert all(parameter.grad is None or bool(parameter.grad.isfinite().all()) for parameter in denoiser.parameters())


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_answers_the_same_once_it_was_saved_and_loaded(network: str) -> None:
    denoiser, measurement = trained(network), seen_by(network)
    rounded = {name: value.half().float() for name, value in denoiser.state_dict().items() if value.is_floating_point()}
    denoiser.load_state_dict(rounded, strict=False)
    with TemporaryDirectory() as folder:
        save_weights(f"{folder}/w.safetensors", denoiser, {"steps": 1})
        loaded, _ = load_weights(f"{folder}/w.safetensors")
    before, after = (one.at_the_end(measurement).images[-1] for one in (denoiser, loaded))
    torch.testing.assert_close(after, before)


@pytest.mark.parametrize("network", NETWORKS)
def test_options_that_a_network_does_not_have_are_refused(network: str) -> None:
    with pytest.raises(InputError, match=f"network {network}: .*'colour'; its options are"):
        Denoiser(network, {"colour": 1})


@pytest.mark.parametrize("network", [name for name in NETWORKS if name not in START_ELSEWHERE])
def test_untrained_network_gives_the_skip_path(network: str) -> None:
    denoiser = Denoiser(network, SMALL[network])
    mu = torch.randn(2, 12, 12, dtype=torch.complex64)
    t = torch.tensor([1.0, 0.3], dtype=torch.float64)
    skip = precondition(denoiser.path, t, denoiser.sigma_r).c_skip.float()[:, None, None]
    x = mu + 0.1
    torch.testing.assert_close(denoiser.estimates(x, t, mu, Unknown(mu)).images[-1], mu + skip * 0.1, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("coils", "mask_shape"), [(1, (1, 22)), (1, (20, 1)), (1, (20, 22)), (3, (1, 22)), (3, (20, 22))])
def test_estimates_agree_with_the_measurement(coils: int, mask_shape: tuple[int, int]) -> None:
    measurement = scan(coils=coils, mask_shape=mask_shape)
    estimates, peer = (trained(network).at_the_end(measurement).images for network in ("consistent", "fastmri-varnet"))
    assert len(estimates) == 2 and peer[-1].shape == (2, 20, 22)
    unfinished = trained().at_the_end(measurement, close=False).images[-1]
    error, before = (
        (measurement.forward(image.detach()) - measurement.kspace).norm() / measurement.kspace.norm()
        for image in (estimates[-1], unfinished)
    )
    assert float(error) < (1e-4 if coils == 1 else 0.1)
    assert float(error) < 0.5 * float(before)


def test_a_mask_along_rows_is_the_transposed_problem() -> None:
    measurement = scan(20, 20, mask_shape=(1, 20))
    along, across = (trained().at_the_end(m).images[-1] for m in (measurement, measurement.turned()))
    torch.testing.assert_close(across, along.transpose(-2, -1), atol=1e-4, rtol=1e-4)


def test_the_answer_turns_with_the_global_phase() -> None:
    measurement, turn = scan(), torch.polar(torch.ones(()), torch.tensor(1.1))
    turned = measurement.with_tensors({"kspace": measurement.kspace * turn})
    plain, other = (trained().at_the_end(m).images[-1] for m in (measurement, turned))
    torch.testing.assert_close(other, plain * turn, atol=1e-4, rtol=1e-4)


def test_precondition_keeps_input_and_target_at_unit_variance() -> None:
    path, sigma_r = Denoiser("unet", SMALL["unet"]).path, 0.2
    t = torch.linspace(0.05, 1, 9, dtype=torch.float64)
    A, s = path.A(t), path.s(t)
    c_in, c_skip, c_out, _ = precondition(path, t, sigma_r)
    torch.testing.assert_close(c_in**2 * (A**2 * sigma_r**2 + s**2), torch.ones_like(t))
    target = (1 - c_skip * A) ** 2 * sigma_r**2 + c_skip**2 * s**2
    torch.testing.assert_close(target, c_out**2)


def test_weights_round_trip_with_config_and_record(tmp_path) -> None:
    denoiser, path = trained("nafnet", path_options={"tau": 3.0}, dynamics="d3gm"), tmp_path / "w.safetensors"
    save_weights(path, denoiser, {"steps": 5})
    loaded, record = load_weights(path)
    assert record["steps"] == 5 and loaded.config == denoiser.config and loaded.path.tau == 3
    x = torch.randn(1, 2, 12, 12)
    torch.testing.assert_close(loaded(x), denoiser(x), atol=2e-2, rtol=2e-2)
    assert load_network(path) is load_network(path) and load_network(path, tau=4.0).path.tau == 4
    save_weights(path, trained("nafnet", seed=1), {"steps": 6})
    assert load_network(path).path.tau == 2, "a file that was replaced is loaded again"


def test_a_file_for_smooth_phase_beside_the_weights_is_loaded_with_them(tmp_path) -> None:
    path, beside = tmp_path / "w.safetensors", tmp_path / "w-smooth.safetensors"
    save_weights(path, trained("consistent"), {"steps": 5})
    assert load_network(path).smooth is None
    save_weights(beside, trained("consistent", seed=1), {"steps": 5})
    both = load_network(path, tau=4.0)
    assert both.smooth is not None and both.smooth.path.tau == 4 and load_network(path).smooth.path.tau == 2
    save_weights(beside, trained("consistent", seed=1, dynamics="ou"), {"steps": 5})
    with pytest.raises(InputError, match=r"w-smooth\.safetensors: was trained under other dynamics"):
        load_network(path)


def test_each_of_a_batch_goes_to_the_denoiser_that_suits_its_phase() -> None:
    both, smooth, rough = trained("consistent"), trained("consistent", seed=1), trained("consistent")
    both.smooth = smooth
    x, mask = torch.randn(3, 16, 16, dtype=torch.complex64), torch.arange(16)[None, None] % 3 < 2
    flags = torch.tensor([True, False, True])
    for shape in ((1, 16), (16, 1)):
        batch = Cartesian(forward(x, mask.expand(3, 1, 16).reshape(3, *shape), None), mask.reshape(1, *shape), smooth=flags)
        found = both.at_the_end(batch).images[-1]
        for i, flag in enumerate(flags.tolist()):
            alone = (smooth if flag else rough).at_the_end(batch[i]).images[-1]
            torch.testing.assert_close(found[i : i + 1], alone)


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_config_rebuilds_the_path(dynamics: str) -> None:
    denoiser = Denoiser("unet", SMALL["unet"], dynamics=dynamics)
    assert Denoiser(**denoiser.config).path == denoiser.path


@pytest.mark.parametrize("network", ["consistent", "unet", "nafnet"])
def test_spectral_norm_is_the_largest_singular_value_of_every_layer(network: str) -> None:
    denoiser = Denoiser(network, SMALL[network], spectral_norm=True)
    for _ in range(15):
        denoiser.at_the_end(seen_by(network))
    for name, layer in denoiser.named_modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d | torch.nn.Linear):
            weight = layer.weight.transpose(0, 1) if isinstance(layer, torch.nn.ConvTranspose2d) else layer.weight
            assert float(torch.linalg.matrix_norm(weight.detach().flatten(1), 2)) == pytest.approx(1, abs=0.15), name


def test_wrong_untrained_and_spoilt_weights_are_refused(tmp_path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "w.safetensors"
    with pytest.raises(InputError, match="no weights there"):
        load_weights(path)
    path.write_text("hello")
    with pytest.raises(InputError, match="not a safetensors file"):
        load_weights(path)
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(InputError, match="another program"):
        load_weights(path)
    denoiser = trained("unet")
    save_weights(path, denoiser, {"steps": 0})
    with pytest.raises(InputError, match="never trained"):
        load_weights(path)
    denoiser.config["options"] = {"features": 4}
    save_weights(path, denoiser, {"steps": 1})
    with pytest.raises(InputError, match="do not fit"):
        load_weights(path)
    denoiser = trained("unet")
    next(denoiser.parameters()).data[:] = float("nan")
    save_weights(path, denoiser, {"steps": 1})
    with pytest.raises(InputError, match="NaN"):
        load_weights(path)


def test_the_expected_error_is_positive_turns_with_the_axes_and_teaches_the_blocks_nothing() -> None:
    measurement, denoiser = scan(17, 22), trained()
    error, across = (denoiser.at_the_end(m).error for m in (measurement, measurement.turned()))
    assert error is not None and error.shape == (2, 17, 22) and bool((error > 0).all())
    torch.testing.assert_close(across, error.transpose(-2, -1), atol=1e-4, rtol=1e-4)
    error.sum().backward()
    touched = {name for name, parameter in denoiser.named_parameters() if parameter.grad is not None}
    assert touched and all(name.startswith("net.error.") for name in touched)
