"""Exact detection metrics as pure functions of scores and labels.

They depend on the order of the scores only, never on their scale. torchmetrics takes values outside [0, 1] for logits
and squashes them, which loses the order of summed squared errors through saturation; so it is given ranks.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_roc


def ranks(scores: Tensor) -> Tensor:
    """(N,) scores as their dense ranks in (0, 1], float64: the same order and the same ties, whatever the scale."""
    distinct, position = scores.unique(return_inverse=True)
    dense: Tensor = (position + 1).double() / len(distinct)
    return dense


def ranking_metrics(scores: Tensor, is_anomaly: Tensor) -> dict[str, float]:
    """What depends on the order of the scores alone, by the names in `RANKING`.

    - ``auroc``: area under the ROC curve: the chance that an anomaly outscores a normal image, a tie counting one half.
    - ``aupr``: area under the precision-recall curve as average precision (the step-wise sum), anomalies being the
      positives. A score without information gets the share of anomalies.
    - ``fpr95``: false positive rate at the strictest threshold that catches at least 95 % of the anomalies.

    Args:
        scores: (N,) anomaly scores, finite.
        is_anomaly: (N,) bool, at least one True and one False.
    """
    is_anomaly = is_anomaly.cpu().bool()
    # From the strictest threshold (nothing flagged) to the most lenient one (everything flagged).
    fpr, tpr, _ = binary_roc(ranks(scores.detach().cpu()), is_anomaly.long())
    anomalies = int(is_anomaly.sum())
    normal = len(is_anomaly) - anomalies
    # Rates come in float32, whose error is far below half an image: rounding gives the exact counts back.
    caught, alarms = (tpr.double() * anomalies).round(), (fpr.double() * normal).round()
    precision = caught[1:] / (caught[1:] + alarms[1:])
    enough = int((caught / anomalies >= 0.95).nonzero()[0])
    return {
        "auroc": float(torch.trapezoid(caught, alarms) / (anomalies * normal)),
        "aupr": float((caught.diff() * precision).sum() / anomalies),
        "fpr95": float(alarms[enough] / normal),
    }


def score_metrics(scores: Tensor, is_anomaly: Tensor, thresholds: dict[str, float]) -> dict[str, float]:
    """Every metric of one score that is defined for this data, by `MetricName.column`.

    ``auroc``, ``aupr``, ``fpr95`` when both groups are present, ``normal_accuracy@<threshold>`` when there are normal
    images, ``anomaly_accuracy@<threshold>`` when there are anomalies. Nothing is made up for a missing group or a
    threshold that is NaN (not fitted), and nothing at all is returned for scores that are not finite.
    """
    if not torch.isfinite(scores).all():
        return {}
    normal, anomalous = scores[~is_anomaly], scores[is_anomaly]
    metrics = ranking_metrics(scores, is_anomaly) if len(normal) and len(anomalous) else {}
    for name, value in thresholds.items():
        if math.isnan(value):
            continue
        # Flagged is what lies above the threshold.
        if len(normal):
            metrics[f"normal_accuracy@{name}"] = float((normal <= value).double().mean())
        if len(anomalous):
            metrics[f"anomaly_accuracy@{name}"] = float((anomalous > value).double().mean())
    return metrics
