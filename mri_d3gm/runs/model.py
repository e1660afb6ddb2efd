"""The network of settings."""

from mri_d3gm.compute import resolve_device
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.weights import load_network
from mri_d3gm.runs.record import weights_file
from mri_d3gm.settings import Settings


def load(settings: Settings) -> Denoiser:
    """The network of the settings' weights on their device; kept while the file stays as it is."""
    return load_network(weights_file(settings), resolve_device(settings.device), settings.tau)
