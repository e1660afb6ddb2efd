"""The network of haze: its start is the dark channel prior, it sees every picture as a whole, and only of colour."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mri_d3gm.errors import InputError
from mri_d3gm.methods.pictures import tiled
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.scattering import sharpened
from mri_d3gm.physics.unknown import Unknown
from mri_d3gm.settings import Restore
from mri_d3gm.weather.haze import dark_channel_prior

SMALL = {"features": 8, "levels": 2, "size": 96}


def hazy_scene(rows: int = 144, cols: int = 192) -> tuple[Tensor, Tensor]:
    """A picture (1, 3, rows, cols) of smooth colours with dark spots, and its hazy one."""
    generator = torch.Generator().manual_seed(3)
    blocks = torch.rand(1, 3, 12, 16, generator=generator) * (torch.rand(1, 1, 12, 16, generator=generator) < 0.7)
    clean = functional.interpolate(blocks, (rows, cols), mode="bilinear")
    transmission = torch.linspace(0.4, 0.7, rows)[:, None]
    return clean, clean * transmission + 0.9 * (1 - transmission)


def shaken() -> Denoiser:
    torch.manual_seed(0)
    denoiser = Denoiser("scattering", SMALL)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter += 0.03 * torch.randn_like(parameter)
    return denoiser.eval().requires_grad_(False)


def test_an_untrained_network_removes_haze_as_the_dark_channel_prior_does() -> None:
    clean, hazy = hazy_scene()
    error = [
        float((image.detach() - clean).square().mean())
        for image in (hazy, Denoiser("scattering", SMALL).at_the_end(Unknown(hazy)).images[-1])
    ]
    prior = float((dark_channel_prior(hazy[0]) - clean[0]).square().mean())
    assert error[1] < 0.5 * error[0] and error[1] < 2 * prior


def test_a_picture_twice_as_large_is_answered_alike() -> None:
    """The trunk sees both at one size."""
    _, hazy = hazy_scene()
    large = functional.interpolate(hazy, scale_factor=2, mode="bilinear")
    denoiser = shaken()
    small, enlarged = (denoiser.at_the_end(Unknown(image)).images[-1] for image in (hazy, large))
    change = float((small - hazy).abs().mean())
    assert float((functional.avg_pool2d(enlarged, 2) - small).abs().mean()) < 0.1 * change


@pytest.mark.parametrize("method", ["regression", "d3gm"])
def test_tiles_leave_the_picture_whole(method: str) -> None:
    _, hazy = hazy_scene(131, 250)
    results = [
        tiled(Unknown(hazy), shaken(), Restore(task="dehaze", method=method, tile=tile), [0]).images for tile in (192, 1024)
    ]
    assert torch.equal(*results)


def test_every_weight_is_trained() -> None:
    clean, hazy = hazy_scene()
    denoiser = shaken().requires_grad_(True)
    (denoiser.at_the_end(Unknown(hazy)).images[-1] - clean).abs().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in denoiser.parameters())


def test_images_that_are_not_of_colour_are_refused() -> None:
    with pytest.raises(InputError, match="3 channels, not 2"):
        Denoiser("scattering", {**SMALL, "channels": 2})


def test_more_steps_add_no_noise() -> None:
    """What it answers with is coarser than noise, so it may not lean on the noisy state."""
    _, hazy = hazy_scene()
    plain, drawn = (
        tiled(Unknown(hazy), shaken(), Restore(task="dehaze", method=method, steps=8), [0]).images[0, 0]
        for method in ("regression", "d3gm")
    )
    assert float((drawn - plain).square().mean().sqrt()) < 0.1 * float((plain - hazy[0]).square().mean().sqrt())


def test_a_map_keeps_the_edges_of_the_picture_but_no_grid_in_front_of_a_smooth_wall() -> None:
    """The trunk's answers repeat every 32 pixels, which is its coarsest level; here is no picture to explain that."""
    wall = 0.5 + 0.02 * torch.randn(1, 1, 128, 192, generator=torch.Generator().manual_seed(0))
    x = torch.arange(192).float()
    grid = (0.7 + 0.1 * torch.cos(2 * torch.pi * x / 32)).expand_as(wall)
    assert float((sharpened(grid, wall, wall) - 0.7).abs().max()) < 0.02
    step = (x > 96).float().expand_as(wall)
    edge = sharpened(0.4 + 0.4 * step, wall + 0.4 * step, wall + 0.4 * step)
    assert float((edge[..., 98:] - edge[..., :95].mean()).min()) > 0.3
