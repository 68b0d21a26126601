"""The curves of one score as lists of numbers that a chart can draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aeanomaly.page.scored import ScoredRun
from aeanomaly.plots.density import densities

_POINTS = 400  # of a ROC or PR curve; more cannot be told apart on a screen


def density_curves(scored: ScoredRun, score: str) -> dict[str, Any]:
    """``x``, and for ``normal`` and ``anomalous`` the densities there (null for a group without) and the median."""
    values, flags = torch.from_numpy(scored.scores[score]), torch.from_numpy(scored.is_anomaly)
    thresholds = [*scored.thresholds(score).values(), scored.start(score)]
    drawn = densities(values[~flags], values[flags], thresholds)
    kinds = {
        kind: {"y": None if curve is None else rounded(curve), "median": None if np.isnan(median) else median}
        for kind, curve, median in zip(("normal", "anomalous"), drawn.curves, drawn.medians, strict=True)
    }
    return {"x": rounded(drawn.grid, 6), **kinds}


def ranking_curves(scored: ScoredRun, score: str) -> dict[str, Any]:
    """``roc`` (false and true positive rates) and ``pr`` (recall, precision), each a pair of lists.

    Empty where there are no anomalies, no normal images, or scores that are not finite.
    """
    values, flags = scored.scores[score], scored.is_anomaly
    if flags.all() or not flags.any() or not np.isfinite(values).all():
        return {}
    from sklearn.metrics import precision_recall_curve, roc_curve  # not at the top: a fit starts faster without

    false, true, _ = roc_curve(flags, values)
    precision, recall, _ = precision_recall_curve(flags, values)
    return {"roc": _thinned(false, true), "pr": _thinned(recall[::-1], precision[::-1])}


def _thinned(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[list[float]]:
    """At most `_POINTS` points, about evenly spaced along the curve, with both ends."""
    if len(x) > _POINTS:
        way = np.concatenate([[0.0], (np.abs(np.diff(x)) + np.abs(np.diff(y))).cumsum()])
        kept = np.unique(np.searchsorted(way, np.linspace(0, way[-1], _POINTS)))
        kept = np.union1d(kept, [0, len(x) - 1])
        x, y = x[kept], y[kept]
    return [rounded(x), rounded(y)]


def rounded(values: NDArray[Any], digits: int = 4) -> list[float]:
    """The values with so many significant digits: enough for a line, and a third of the text."""
    return [float(f"{value:.{digits}g}") for value in values.tolist()]
