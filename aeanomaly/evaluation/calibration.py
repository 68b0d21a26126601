"""What scores of normal images look like, from which p-values and thresholds follow."""

from __future__ import annotations

import torch
from torch import Tensor

from aeanomaly.evaluation.thresholds import Threshold
from aeanomaly.scores.base import Fitted


class Calibration(Fitted):
    """The scores that one anomaly score gives to held-out normal images."""

    normal_scores: Tensor  # (N,) float32, ascending

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("normal_scores", torch.empty(0))

    def fit(self, normal_scores: Tensor) -> None:
        """Keep the (N,) scores of held-out normal images."""
        self.normal_scores = normal_scores.float().sort().values.to(self.normal_scores.device)

    def p_value(self, scores: Tensor) -> Tensor:
        """(B,) float32: how rare a score this high is among normal images, (1 + those at least as high) / (1 + N).

        If new normal images are exchangeable with the held-out ones, it is at most p with a probability of at most p
        (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005). NaN before anything was fitted.
        """
        if not self.fitted:
            return torch.full_like(scores, torch.nan)
        count = len(self.normal_scores)
        at_least_as_high = count - torch.searchsorted(self.normal_scores, scores.contiguous())
        return (1 + at_least_as_high).float() / (1 + count)

    def threshold(self, rule: Threshold) -> float | None:
        """The value that a rule comes to; None for a rule that needs normal scores before there are any."""
        if rule.needs_normal_scores and not self.fitted:
            return None
        return rule.fit(self.normal_scores)
