"""Detection metrics against scikit-learn and against definitions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from torch import Tensor, nn

from aeanomaly.evaluation.collector import Collector
from aeanomaly.evaluation.detector import Detector
from aeanomaly.evaluation.metrics import ranking_metrics, score_metrics
from aeanomaly.outputs import Batch, Output
from aeanomaly.scores.base import Score


class CodeAsScore(Score):
    """Hands through the score that a test put into the code."""

    reads = ("code",)

    def forward(self, output: Output) -> Tensor:
        """The only code dimension."""
        return output.code[:, 0]


def sample(kind: str, seed: int) -> tuple[Tensor, Tensor]:
    """Scores and labels of one kind of difficulty, with both groups present."""
    generator = np.random.default_rng(seed)
    size, anomalies = {"tiny": (2 + seed, 1), "one anomaly": (3000, 1), "one normal": (3000, 2999)}.get(
        kind, (2000, 200)
    )
    labels = generator.permutation(np.arange(size) < anomalies)
    scores = generator.gamma(9, 5, size) + 12 * labels  # summed squared errors: around 50, far outside [0, 1]
    if kind == "ties":
        scores = np.floor(scores / 10)
    return torch.tensor(scores, dtype=torch.float32), torch.tensor(labels)


def fpr95_of_sklearn(labels: Tensor, scores: Tensor) -> float:
    """FPR at the first point of scikit-learn's full ROC curve with a TPR of at least 95 %."""
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    return float(fpr[np.argmax(tpr >= 0.95)])


def metrics_of_sklearn(labels: Tensor, scores: Tensor) -> dict[str, float]:
    return {
        "auroc": roc_auc_score(labels, scores),
        "aupr": average_precision_score(labels, scores),
        "fpr95": fpr95_of_sklearn(labels, scores),
    }


@pytest.mark.parametrize("kind", ["errors", "ties", "tiny", "one anomaly", "one normal"])
@pytest.mark.parametrize("seed", range(5))
def test_metrics_equal_those_of_scikit_learn(kind: str, seed: int) -> None:
    scores, labels = sample(kind, seed)
    assert ranking_metrics(scores, labels) == pytest.approx(metrics_of_sklearn(labels, scores), abs=1e-12)


@pytest.mark.parametrize("kind", ["errors", "ties"])
@pytest.mark.parametrize("batch_size", [1, 64])
def test_metrics_do_not_depend_on_the_batches_in_which_scores_arrive(kind: str, batch_size: int) -> None:
    scores, labels = sample(kind, seed=7)
    collector = Collector(Detector(nn.Identity(), {"code": CodeAsScore()}, {}))
    for rows in torch.arange(len(scores)).split(batch_size):
        code = scores[rows].unsqueeze(1)
        batch = Batch(image=code, label=labels[rows].long(), is_anomaly=labels[rows], index=rows)
        collector.add(batch, Output(code=code, reconstruction=code, target=code))
    found = collector.evaluation(SingleDeviceStrategy(device="cpu")).metrics["code"]
    assert found == pytest.approx(metrics_of_sklearn(labels, scores), abs=1e-12)


@pytest.mark.parametrize("mapping", [torch.log1p, lambda s: 1e6 * s - 3e7, lambda s: s.square() / 1e9])
@pytest.mark.parametrize("kind", ["errors", "ties"])
def test_metrics_depend_on_the_order_only(mapping: Callable[[Tensor], Tensor], kind: str) -> None:
    scores, labels = sample(kind, seed=3)
    assert ranking_metrics(mapping(scores.double()), labels) == ranking_metrics(scores, labels)


def test_a_score_without_information() -> None:
    scores, labels = torch.full((40,), 50.0), torch.arange(40) < 10
    assert ranking_metrics(scores, labels) == {"auroc": 0.5, "aupr": 0.25, "fpr95": 1.0}


@pytest.mark.parametrize(("missing", "kind_left"), [(True, "normal"), (False, "anomaly")])
def test_a_missing_group_has_no_ranking_metrics(missing: bool, kind_left: str) -> None:
    metrics = score_metrics(torch.tensor([30.0, 40.0]), torch.full((2,), not missing), {"35": 35.0})
    assert metrics == {f"{kind_left}_accuracy@35": 0.5}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_scores_that_are_not_finite_have_no_metrics(bad: float) -> None:
    assert score_metrics(torch.tensor([1.0, bad, 3.0]), torch.tensor([False, False, True]), {"35": 35.0}) == {}


def test_a_threshold_that_was_not_fitted_is_left_out() -> None:
    scores, labels = sample("errors", seed=1)
    metrics = score_metrics(scores, labels, {"fpr5": math.nan, "35": 35.0})
    assert set(metrics) == {"auroc", "aupr", "fpr95", "normal_accuracy@35", "anomaly_accuracy@35"}


@pytest.mark.parametrize(("steps", "flagged"), [(-1, False), (0, False), (1, True)])
def test_only_a_score_above_the_threshold_is_flagged(steps: int, flagged: bool) -> None:
    score = torch.tensor([35.0])
    if steps:
        score = torch.nextafter(score, score + steps)
    for kind, is_anomaly, right in (("normal", False, not flagged), ("anomaly", True, flagged)):
        assert score_metrics(score, torch.tensor([is_anomaly]), {"35": 35.0}) == {f"{kind}_accuracy@35": right}
