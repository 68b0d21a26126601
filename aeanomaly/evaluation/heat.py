"""Maps of different pictures on one scale, so that their colours can be compared."""

from __future__ import annotations

import torch
from torch import Tensor

from aeanomaly.evaluation.thresholds import conformal_rank

_RARE = 0.05  # share of normal pictures whose score lies above the middle of the scale
_LEAST = 0.01  # half of the scale at least, as a share of the median: few normal pictures may scatter too little

_VERY_HIGH = 1e30  # stands for an infinite score, of which there are no proportions


def heat_scale(normal_scores: Tensor) -> tuple[float, float, float]:
    """Where the scale of a score begins, has its middle, and ends, in the unit of the score.

    It begins at the median of held-out normal scores, and has its middle where 5 % of new normal scores lie above.

    Args:
        normal_scores: (N,) ascending, at least one.
    """
    count = len(normal_scores)
    rank = min(count, conformal_rank(count, _RARE))
    median, rare = float(normal_scores[(count - 1) // 2]), float(normal_scores[rank - 1])
    half = max(rare - median, _LEAST * abs(median), 1e-12)
    return median, median + half, median + 2 * half


def heat(maps: Tensor, scores: Tensor, normal_scores: Tensor) -> Tensor:
    """(B, H, W) in [0, 1]: how far each place lies up the `heat_scale`.

    The unit of a map need not be that of its score: a sum of errors has the one of a place many times over. The hottest
    place of a picture is therefore given the picture's score, and the others theirs in proportion. A picture whose
    score half of the normal ones exceed has no heat, however its own places differ. For one whose score lies beyond the
    scale, the scale is extended to its score: else most of its places would have the last colour. What is infinite
    counts as very high; NaN has no heat.

    Args:
        maps: (B, H, W).
        scores: (B,), of the same pictures.
        normal_scores: (N,) ascending, at least one.
    """
    begin, _, end = heat_scale(normal_scores)
    scores = scores.nan_to_num(nan=torch.nan, posinf=_VERY_HIGH, neginf=-torch.inf)
    maps = maps.nan_to_num(nan=torch.nan, neginf=-torch.inf)
    score, peak = scores.view(-1, 1, 1), maps.amax((1, 2), keepdim=True)
    # Proportions mean nothing below zero, where log densities may lie: there differences are kept.
    proportional = (peak > 0) & (score > 0)
    levels = torch.where(proportional, maps * (score / peak), maps - peak + score)
    return ((levels - begin) / (score.clamp_min(end) - begin)).nan_to_num(0.0).clamp(0, 1)
