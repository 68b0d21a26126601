"""One plain ``nn.Module`` autoencoder per file, over the small base in `aeanomaly.models.base`."""

from aeanomaly import short_names

__getattr__ = short_names(__name__, __path__)
