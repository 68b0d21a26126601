"""One anomaly score per file, over the base in `aeanomaly.scores.base`."""
