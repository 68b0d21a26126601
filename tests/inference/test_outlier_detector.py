"""The adapter keeps scikit-learn's rules, and finds what the rest of the program finds."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from aeanomaly.inference.outlier_detector import OutlierDetector
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.outputs import Output
from aeanomaly.scores.kmeans import KMeans
from aeanomaly.scores.patch_knn import PatchKNN


def small(shape: tuple[int, int, int]) -> DenseAutoencoder:
    return DenseAutoencoder(shape, (24,), 4)


# None is expected to fail. Not `small`, whose address would give the tests another name in each process.
@parametrize_with_checks([OutlierDetector(partial(DenseAutoencoder, hidden=(24,), code_size=4), steps=20)])
def test_the_rules_of_scikit_learn(estimator: OutlierDetector, check: Callable[[Any], None]) -> None:
    check(estimator)


def digits() -> tuple[np.ndarray, np.ndarray]:
    found = load_digits()
    return found.data, found.target == 0


def test_it_finds_what_it_was_not_trained_on() -> None:
    rows, zero = digits()
    detector = OutlierDetector(small, image_shape=(1, 8, 8), steps=500, learning_rate=5e-3, random_state=0)
    detector.fit(rows[~zero][:1200])
    new_normal, anomalous = rows[~zero][1200:], rows[zero]
    scores = -detector.score_samples(np.concatenate([new_normal, anomalous]))
    assert roc_auc_score(np.arange(len(scores)) >= len(new_normal), scores) > 0.8
    assert (detector.predict(new_normal) == -1).mean() < 0.12
    assert (detector.predict(anomalous) == -1).mean() > 0.2
    normalised = (anomalous - rows.min()) / np.ptp(rows)
    net = detector.detector_.net
    with torch.no_grad():
        output = net(torch.from_numpy(normalised.astype(np.float32)).view(-1, 1, 8, 8))
    errors = (output.reconstruction - output.target).square().flatten(1).sum(1)
    assert -detector.score_samples(anomalous) == pytest.approx(errors.numpy(), rel=1e-4)


def test_in_a_pipeline_and_a_search() -> None:
    rows, _ = digits()
    pipeline = make_pipeline(StandardScaler(), OutlierDetector(small, steps=10, random_state=0))
    search = GridSearchCV(
        pipeline,
        {"outlierdetector__anomaly_score": ["ReconstructionError", "KNN"], "outlierdetector__steps": [5, 10]},
        scoring=lambda fitted, some, _=None: float(fitted.score_samples(some).mean()),
        cv=2,
        error_score="raise",
    )
    search.fit(rows[:200])
    assert len(set(search.cv_results_["mean_test_score"].tolist())) == 4  # every setting took effect
    flagged = search.predict(np.concatenate([rows[:200], 1000 * rows[:20]]))
    assert (flagged[:200] == 1).mean() > 0.5
    assert (flagged[200:] == -1).any()


def test_a_score_that_is_fitted_on_held_out_rows_is_calibrated_by_others() -> None:
    """By the same rows, 60 centres for 30 of them would call nine in ten new ones anomalous."""
    rows = np.random.default_rng(0).standard_normal((150, 6)).astype(np.float32)
    kmeans = partial(KMeans, n_clusters=15)
    found = []
    for seed in range(4):
        detector = OutlierDetector(small, anomaly_score=kmeans, steps=5, alpha=0.1, random_state=seed).fit(rows)
        assert len(detector.detector_.calibration("score").normal_scores) == 15
        new = np.random.default_rng(1 + seed).standard_normal((400, 6)).astype(np.float32)
        found.append((detector.predict(new) == -1).mean())
    assert np.mean(found) < 0.15


def test_held_out_rows_leave_the_ranges_as_often_as_new_ones() -> None:
    """With ranges of all rows, a fifth of the new ones were flagged where a twentieth is promised."""
    found = []
    for seed in range(30):
        rows = np.random.default_rng(seed).standard_t(2, (400, 30))
        detector = OutlierDetector(small, steps=3, random_state=seed).fit(rows[:100])
        found.append((detector.predict(rows[100:]) == -1).mean())
    assert 0.02 < np.mean(found) < 0.07


def test_features_of_a_large_offset_keep_their_digits() -> None:
    """float32 knows times in seconds of today to two minutes only."""
    rows = np.random.default_rng(0).uniform(-5, 5, (120, 4))
    plain, late = (OutlierDetector(small, steps=5, random_state=0).fit(some) for some in (rows, rows + 1.75e9))
    assert late.score_samples(rows + 1.75e9) == pytest.approx(plain.score_samples(rows), rel=1e-4)


@pytest.mark.parametrize(("share", "kept"), [(0.05, 21), (0.1, 20), (0.5, 11), (0.001, 21)])
def test_the_threshold_is_that_of_split_conformal_prediction(share: float, kept: int) -> None:
    rows = np.random.default_rng(0).standard_normal((105, 6))
    detector = OutlierDetector(small, steps=2, alpha=share, random_state=0).fit(rows)
    normal = detector.detector_.calibration("score").normal_scores
    assert len(normal) == 21
    assert (normal <= -detector.offset_).sum() == kept


def test_wrong_arguments() -> None:
    rows, _ = digits()
    with pytest.raises(ValueError, match="anomaly_score: there is no class 'Nearest' in aeanomaly"):
        OutlierDetector(anomaly_score="Nearest").fit(rows)
    with pytest.raises(ValueError, match="has 16 pixels, the rows have 64"):
        OutlierDetector(image_shape=(1, 4, 4)).fit(rows)
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1, got 2"):
        OutlierDetector(alpha=2).fit(rows)


@pytest.mark.parametrize("score", ["KNN", "KMeans", "ReconstructionError"])
def test_fit_looks_at_few_rows_at_once(score: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All layers of all rows would take many times their memory; what is found is the same."""
    seen: list[int] = []

    class Watched(DenseAutoencoder):
        def forward(self, x: torch.Tensor) -> Output:
            seen.append(len(x))
            return super().forward(x)

    rows = np.random.default_rng(0).uniform(size=(200, 6))
    kept = []
    for at_once in (1000, 16):
        seen.clear()
        monkeypatch.setattr("aeanomaly.inference.outlier_detector._AT_ONCE", at_once)
        made = OutlierDetector(lambda shape: Watched(shape, (24,), 4), anomaly_score=score, steps=3, random_state=0)
        made.set_params(batch_size=8).fit(rows)
        kept.append(made.detector_.calibration("score").normal_scores)
    assert max(seen) == 16
    torch.testing.assert_close(*kept)


def test_a_score_of_places_draws_the_sample_it_asks_for() -> None:
    rows = np.random.default_rng(0).uniform(size=(80, 64))
    score = partial(PatchKNN, "target", candidates=100)
    made = OutlierDetector(small, anomaly_score=score, image_shape=(1, 8, 8), steps=2, random_state=0).fit(rows)
    trained = len(rows) - len(made.detector_.calibration("score").normal_scores)
    assert len(made.detector_.score_modules["score"].knn.bank) == trained * math.ceil(100 / trained)


SQUARE = (1, 8, 8)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"net": "MemoryAutoencoder"}, "net: MemoryAutoencoder is not made by its name alone .*'net'.*give a function"),
        ({"net": "VariationalAutoencoder"}, "net: VariationalAutoencoder is not made by its name alone"),
        ({"net": "Geometry"}, "net: aeanomaly.models.Geometry is no Autoencoder"),
        ({"net": "Autoencoder"}, "net: aeanomaly.models.Autoencoder is no Autoencoder"),
        ({"net": "base"}, "net: aeanomaly.models.base is no Autoencoder"),
        ({"net": DenseAutoencoder(SQUARE)}, "net: an instance of DenseAutoencoder cannot be made anew for each fit"),
        ({"net": nn.Flatten()}, "net: an instance of Flatten cannot"),
        ({"net": lambda shape: None}, "net: what is given makes no Autoencoder, but NoneType"),
        ({"anomaly_score": "Fusion"}, "anomaly_score: Fusion is not made by its name alone"),
        ({"anomaly_score": KMeans()}, "anomaly_score: an instance of KMeans cannot"),
        ({"image_shape": (8, 8)}, r"image_shape must be channels, height and width, .* got \(8, 8\)"),
        ({"image_shape": (1, -8, -8)}, "image_shape must be"),
        ({"image_shape": 64}, "image_shape must be"),
        ({"image_shape": "abc"}, "image_shape must be"),
    ],
)
def test_what_is_no_net_no_score_and_no_shape(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as raised:
        OutlierDetector(**{"steps": 1, **options}).fit(digits()[0][:20])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("net", ["FeatureAutoencoder", "ContrastiveAutoencoder", "ConvolutionalAutoencoder"])
def test_every_net_that_needs_no_more_than_the_shape_has_its_name(net: str) -> None:
    rows = digits()[0][:20]
    detector = OutlierDetector(net, image_shape=np.array(SQUARE), steps=1, batch_size=4, random_state=0)
    assert detector.fit(rows).score_samples(rows).shape == (20,)


@pytest.mark.parametrize("option", ["steps", "batch_size"])
@pytest.mark.parametrize("value", [0, -1, 2.5, None])
def test_steps_and_their_rows_are_whole_numbers(option: str, value: Any) -> None:
    options = {"steps": 1, option: value}
    with pytest.raises(ValueError, match=f"{option} must be a whole number of at least 1, got {value}"):
        OutlierDetector(small, **options).fit(np.eye(8))


def test_what_diverges_is_refused() -> None:
    def diverging(shape: tuple[int, int, int]) -> DenseAutoencoder:
        net = small(shape)
        nn.init.constant_(next(net.parameters()), torch.nan)
        return net

    with pytest.raises(ValueError, match="scores of held-out rows are not finite: lower learning_rate"):
        OutlierDetector(diverging, steps=2).fit(np.eye(8))


def test_a_row_whose_score_is_no_number_is_flagged() -> None:
    detector = OutlierDetector(small, steps=2, random_state=0).fit(np.eye(8))
    rows = np.array([[0.5] * 8, [1e300] * 8])
    assert np.isnan(detector.score_samples(rows)).tolist() == [False, True]
    assert detector.predict(rows)[1] == -1
