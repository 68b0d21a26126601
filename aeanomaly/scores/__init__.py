"""One anomaly score per file, over the base in `aeanomaly.scores.base`."""

from aeanomaly import short_names

__getattr__ = short_names(__name__, __path__)
