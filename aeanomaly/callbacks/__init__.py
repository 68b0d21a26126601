"""One callback per file; they read the outputs of the module, never the insides of a net."""

from aeanomaly import short_names

__getattr__ = short_names(__name__, __path__)
