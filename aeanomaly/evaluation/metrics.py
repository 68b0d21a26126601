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


def _operating_points(scores: Tensor, is_anomaly: Tensor) -> tuple[Tensor, Tensor]:
    """True and false positives at every distinct threshold, from the strictest to the most lenient.

    Returns two float64 tensors that start at 0 (nothing flagged) and end at the totals (everything flagged). Images
    with equal scores enter together, so ties are counted as ties.
    """
    is_anomaly = is_anomaly.cpu().bool()
    fpr, tpr, _ = binary_roc(ranks(scores.detach().cpu()), is_anomaly.long())
    # Rates come in float32, whose error is far below half an image: rounding gives the exact counts back.
    anomalies = int(is_anomaly.sum())
    return (tpr.double() * anomalies).round(), (fpr.double() * (len(is_anomaly) - anomalies)).round()


def auroc(scores: Tensor, is_anomaly: Tensor) -> float:
    """Area under the ROC curve: the chance that an anomaly outscores a normal image, a tie counting one half.

    Args:
        scores: (N,) anomaly scores, finite.
        is_anomaly: (N,) bool, at least one True and one False.
    """
    true_positives, false_positives = _operating_points(scores, is_anomaly)
    area = torch.trapezoid(true_positives, false_positives)
    return float(area / (true_positives[-1] * false_positives[-1]))


def aupr(scores: Tensor, is_anomaly: Tensor) -> float:
    """Area under the precision-recall curve as average precision (the step-wise sum), anomalies being the positives.

    Arguments as in `auroc`. A score without information gets the share of anomalies.
    """
    true_positives, false_positives = _operating_points(scores, is_anomaly)
    precision = true_positives[1:] / (true_positives[1:] + false_positives[1:])
    return float((true_positives.diff() * precision).sum() / true_positives[-1])


def fpr_at_tpr(scores: Tensor, is_anomaly: Tensor, tpr: float = 0.95) -> float:
    """False positive rate at the strictest threshold that catches at least the share ``tpr`` of the anomalies.

    Arguments as in `auroc`. ``tpr=0.95`` is the field's FPR95.
    """
    true_positives, false_positives = _operating_points(scores, is_anomaly)
    first = int((true_positives / true_positives[-1] >= tpr).nonzero()[0])
    return float(false_positives[first] / false_positives[-1])


def normal_accuracy(scores: Tensor, is_anomaly: Tensor, threshold: float) -> float:
    """Share of the normal images that are not flagged (score at most ``threshold``): 1 minus the false alarm rate."""
    return float((scores[~is_anomaly] <= threshold).double().mean())


def anomaly_accuracy(scores: Tensor, is_anomaly: Tensor, threshold: float) -> float:
    """Share of the anomalies that are flagged (score above ``threshold``)."""
    return float((scores[is_anomaly] > threshold).double().mean())


def score_metrics(scores: Tensor, is_anomaly: Tensor, thresholds: dict[str, float]) -> dict[str, float]:
    """Every metric of one score that is defined for this data, by `MetricName.column`.

    ``auroc``, ``aupr``, ``fpr95`` when both groups are present, ``normal_accuracy@<threshold>`` when there are normal
    images, ``anomaly_accuracy@<threshold>`` when there are anomalies. Nothing is made up for a missing group or a
    threshold that is NaN (not fitted), and nothing at all is returned for scores that are not finite.
    """
    if not torch.isfinite(scores).all():
        return {}
    metrics: dict[str, float] = {}
    anomalies, total = int(is_anomaly.sum()), len(is_anomaly)
    if 0 < anomalies < total:
        metrics["auroc"] = auroc(scores, is_anomaly)
        metrics["aupr"] = aupr(scores, is_anomaly)
        metrics["fpr95"] = fpr_at_tpr(scores, is_anomaly)
    for name, value in thresholds.items():
        if math.isnan(value):
            continue
        if anomalies < total:
            metrics[f"normal_accuracy@{name}"] = normal_accuracy(scores, is_anomaly, value)
        if anomalies:
            metrics[f"anomaly_accuracy@{name}"] = anomaly_accuracy(scores, is_anomaly, value)
    return metrics
