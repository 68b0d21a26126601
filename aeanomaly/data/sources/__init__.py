"""One data source per file, over the one-class base in `aeanomaly.data.base`."""

from aeanomaly import short_names

__getattr__ = short_names(__name__, __path__)
