"""The detector of the shared run, its test images, and the scores that the run gave them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import aeanomaly
from aeanomaly import AnomalyDetector
from aeanomaly.data.sources.digits import Digits


@pytest.fixture(scope="module")
def detector(run_dir: Path) -> AnomalyDetector:
    return aeanomaly.load(run_dir, device="cpu")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """(360, 1, 8, 8) uint8, the test images."""
    return Digits(anomaly_classes=[0]).load().test_images.numpy()


@pytest.fixture(scope="module")
def recorded(run_dir: Path) -> dict[str, np.ndarray]:
    with (run_dir / "test_scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    return {name: np.array([float(row[name]) for row in rows]) for name in ("reconstruction", "kmeans")}
