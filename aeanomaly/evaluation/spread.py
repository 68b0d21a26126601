"""Where the scores of each kind of image lie, in a few numbers."""

from __future__ import annotations

import torch

from aeanomaly.outputs import Evaluation

KINDS = ("normal", "anomaly")
QUANTILES = {"median": 0.5, "q05": 0.05, "q95": 0.95}


def spread_tag(score: str, kind: str, quantile: str) -> str:
    """What a value of `spread` is called in logs, such as ``val_spread/kmeans/normal_q05``."""
    return f"val_spread/{score}/{kind}_{quantile}"


def spread(evaluation: Evaluation) -> dict[str, float]:
    """Median, 5 % and 95 % quantile of the finite normal and anomalous scores, by tag; an empty kind is left out."""
    values: dict[str, float] = {}
    levels = torch.tensor(list(QUANTILES.values()), dtype=torch.float64)
    for score in evaluation.scores:
        for kind, group in zip(KINDS, (evaluation.normal(score), evaluation.anomalous(score)), strict=True):
            group = group[group.isfinite()].double()
            if len(group):
                tags = [spread_tag(score, kind, quantile) for quantile in QUANTILES]
                values |= dict(zip(tags, torch.quantile(group, levels).tolist(), strict=True))
    return values
