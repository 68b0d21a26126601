"""A score that is fitted on held-out normal images is calibrated by others of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans as SklearnKMeans

from aeanomaly.data.sources.digits import Digits
from aeanomaly.scores.fusion import Fusion
from aeanomaly.scores.kmeans import KMeans
from aeanomaly.training.module import LitAutoencoder
from tests.training.test_python_use import make_data, make_module, make_trainer

CLUSTERS = 40  # for 65 codes, so that most of them are centres of their own


@pytest.fixture(scope="module")
def fitted() -> tuple[LitAutoencoder, Digits]:
    module, data = make_module(kmeans=KMeans(CLUSTERS), both=Fusion(["kmeans", "reconstruction"])), make_data()
    make_trainer(max_epochs=10).fit(module, data)
    return module.eval(), data


def codes(module: LitAutoencoder, data: Digits, part: str) -> np.ndarray:
    """Of the normal images, in order."""
    loader = data.val_dataloader() if part == "val" else data.test_dataloader()
    with torch.no_grad():
        return torch.cat([module(batch.image).code[~batch.is_anomaly] for batch in loader]).numpy()


def to_centres(values: np.ndarray, centres: np.ndarray) -> np.ndarray:
    distances: np.ndarray = cdist(values, centres, "sqeuclidean").min(1)
    return distances


def test_one_half_fits_and_the_other_calibrates(fitted: tuple[LitAutoencoder, Digits]) -> None:
    module, data = fitted
    of_normals = codes(module, data, "val")
    centres = SklearnKMeans(CLUSTERS, random_state=9, n_init=10).fit(of_normals[::2]).cluster_centers_
    found = module.detector.calibration("kmeans").normal_scores.numpy()
    np.testing.assert_allclose(found, np.sort(to_centres(of_normals[1::2], centres)), rtol=1e-4, atol=1e-6)
    count = len(of_normals)
    sizes = {
        name: len(module.detector.calibration(name).normal_scores) for name in ("reconstruction", "kmeans", "both")
    }
    assert sizes == {"reconstruction": count, "kmeans": count // 2, "both": count // 2}


def test_the_promise_holds_for_as_many_clusters_as_codes(fitted: tuple[LitAutoencoder, Digits]) -> None:
    """On all of the codes, nearly every one of which would be near a centre of its own, it would be broken."""
    module, data = fitted
    score = module.detector.score_modules["kmeans"]
    assert isinstance(score, KMeans)
    of_new, of_normals = codes(module, data, "test"), codes(module, data, "val")
    promised = module.detector.threshold_values("kmeans")["alarm5"]
    assert (to_centres(of_new, score.centres.numpy()) > promised).mean() < 0.1
    centres = SklearnKMeans(2 * CLUSTERS, random_state=9, n_init=1).fit(of_normals).cluster_centers_
    assert (to_centres(of_new, centres) > np.quantile(to_centres(of_normals, centres), 0.95)).mean() > 0.2
