"""The network of settings."""

from mri_d3gm.compute import resolve_device
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.weights import check_channels, load_network
from mri_d3gm.runs.bounds import bounds_of
from mri_d3gm.runs.record import weights_file
from mri_d3gm.settings import Recon, Restore, Settings


def load(settings: Settings) -> Denoiser:
    """The network of the settings' weights on their device; kept while the file stays as it is.

    InputError for weights of photographs in place of complex images, or the other way round, and for a bound beside the weights
    that cannot be used, which would be met after the work.
    """
    name = weights_file(settings)
    network = load_network(name, resolve_device(settings.device), settings.tau)
    check_channels(name, network, 3 if isinstance(settings, Restore) else 2)
    if isinstance(settings, Recon):
        bounds_of(settings, 1)
    return network
