"""How a score becomes a decision, and what follows from the scores of normal images: thresholds and p-values."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.outputs import Described
from aeanomaly.scores.base import Fitted


class Threshold(Described, ABC):
    """A rule that yields one threshold value for a score; an image is flagged when its score is **above** it.

    Attributes:
        needs_normal_scores: whether the value depends on scores of normal images.
        scores: names of the scores it is meant for, or None for every score.
        name: in ``model.thresholds``, said in errors; a `Detector` puts in the one that it has for the threshold.
    """

    name: str = "NAME"
    needs_normal_scores: bool = True
    scores: Sequence[str] | None = None

    @abstractmethod
    def fit(self, normal_scores: Tensor) -> float:
        """The threshold value, given the (N,) scores of held-out normal images in any order."""

    def applies_to(self, score: str) -> bool:
        """Whether the rule makes sense for the score of this name."""
        return self.scores is None or score in self.scores


class Fixed(Threshold):
    """A value chosen by hand, as in the study: raise it for fewer false alarms, lower it to catch more.

    Args:
        value: the threshold, in the unit of the score.
        scores: names of the scores it is meant for; a fixed value rarely means anything for another score.
    """

    needs_normal_scores = False

    def __init__(self, value: float = 35.0, scores: Sequence[str] = ("reconstruction",)) -> None:
        self.value = float(value)
        self.scores = tuple(scores)

    def fit(self, normal_scores: Tensor) -> float:
        """The fixed value; ``normal_scores`` is not looked at."""
        return self.value


class FalseAlarmRate(Threshold):
    """The split-conformal threshold that bounds the false alarm rate.

    It is the ceil((n + 1)(1 - alpha))-th smallest of n held-out normal scores. If a new normal image and the n
    held-out ones are exchangeable and the score was not fitted on the latter, the chance that the new image is
    flagged is at most ``alpha``, whatever the distribution of the scores (Vovk, Gammerman and Shafer, Algorithmic
    Learning in a Random World, 2005). The guarantee is over the draw of held-out and new images together. A score that
    is fitted on held-out images (KMeans here) is fitted on one half of them, and n is the number of the others. For a
    fusion, whose parts are measured by the mean and deviation of the held-out images, each of these is measured by the
    others; the guarantee is then no theorem, but simulations stay below ``alpha``, the further the smaller n.

    Args:
        alpha: the largest acceptable false alarm rate, in (0, 1).

    Raises:
        UserError: if alpha is not in (0, 1), or, on fitting, if n is too small for any finite threshold to hold it.
    """

    def __init__(self, alpha: float = 0.05) -> None:
        if not 0 < alpha < 1:
            raise UserError(f"false alarm rate alpha must lie strictly between 0 and 1, got {alpha}")
        self.alpha = alpha

    def fit(self, normal_scores: Tensor) -> float:
        """The smallest of the (n,) normal scores that bounds the false alarm rate at ``alpha``."""
        n = len(normal_scores)
        if self.alpha < 1 / (n + 1):
            least = math.ceil(10_000 / (n + 1)) / 10_000  # rounded up, as the option is given
            lenient = (
                f"raise --model.thresholds.{self.name}.alpha to {least:g} or more" if n else "leave the threshold out"
            )
            raise UserError(
                f"a false alarm rate of {self.alpha:g} cannot be guaranteed from {n} normal validation images: "
                f"it takes {math.ceil(round(1 / self.alpha, 6)) - 1}; add normal images, raise data.val_fraction, or "
                f"{lenient} (a score that is fitted on these images, such as KMeans, leaves half of them)"
            )
        return float(normal_scores.sort().values[conformal_rank(n, self.alpha) - 1])


def halves(held_out: Tensor) -> tuple[Tensor, Tensor]:
    """Every second row of what is held out, which a score is fitted on, and the others, which then calibrate it."""
    return held_out[::2], held_out[1::2]


def conformal_rank(count: int, alpha: float) -> int:
    """The rank, from 1, of the held-out normal score that bounds the false alarm rate: ceil((count + 1)(1 - alpha)).

    It is ``count`` + 1 where ``alpha`` is too small for any of them.
    """
    # Rounding guards against (count + 1) * (1 - alpha) landing a hair above the integer that it is.
    return max(1, math.ceil(round((count + 1) * (1 - alpha), 9)))


class Calibration(Fitted):
    """The scores that one anomaly score gives to held-out normal images."""

    normal_scores: Tensor  # (N,) float32, ascending

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("normal_scores", torch.empty(0))

    def fit(self, normal_scores: Tensor) -> None:
        """Keep the (N,) scores of held-out normal images."""
        self.normal_scores = normal_scores.float().sort().values.to(self.normal_scores.device)

    def standardised(self, scores: Tensor) -> Tensor:
        """(B,) float32 scores in standard deviations above the mean of the normal ones; NaN before a fit.

        Of logarithms, where no normal score is negative: those of distances and errors are far more like a normal
        distribution than the values themselves.
        """
        if not self.fitted:
            return torch.full_like(scores, torch.nan)
        normal = self._unbounded(self.normal_scores.to(scores.device))
        spread = normal.std() if len(normal) > 1 else normal.new_ones(())
        return (self._unbounded(scores) - normal.mean()) / spread.clamp_min(1e-12)

    def standardised_by_others(self, scores: Tensor) -> Tensor:
        """(N,) as `standardised`, for scores that are themselves among the normal ones, each left out of its own scale.

        A new image has no part in the mean and deviation that it is measured by. Nor may the images that it is to be
        compared with: of few, each draws the mean towards itself, and looks more normal than a new one.
        """
        count = len(self.normal_scores)
        if count < 3:
            return self.standardised(scores)
        normal, own = (self._unbounded(some).double() for some in (self.normal_scores.to(scores.device), scores))
        centre = normal.mean()  # sums of squares of small numbers lose no digits
        normal, own = normal - centre, own - centre
        mean = (normal.sum() - own) / (count - 1)
        squares = normal.square().sum() - own.square() - (count - 1) * mean.square()
        spread = (squares / (count - 2)).clamp_min(0).sqrt()
        return ((own - mean) / spread.clamp_min(1e-12)).float()

    def _unbounded(self, scores: Tensor) -> Tensor:
        """Logarithms, where no normal score is negative and half are positive, or else the scores themselves."""
        least, median = (self.normal_scores[i].to(scores.device) for i in (0, len(self.normal_scores) // 2))
        # Of a held-out image that stands in the training images, too, the distance is 0, or what rounding makes of it.
        # A hundredth of the median keeps it from being the scale of all others. Chosen number by number rather than by
        # an `if`, so that a graph can be made of it.
        return torch.where((least >= 0) & (median > 0), scores.clamp_min(median / 100).log(), scores)

    def p_value(self, scores: Tensor) -> Tensor:
        """(B,) float32: how rare a score this high is among normal images, (1 + those at least as high) / (1 + N).

        If new normal images are exchangeable with the held-out ones, it is at most p with a probability of at most p
        (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005). NaN before anything was fitted.
        """
        if not self.fitted:
            return torch.full_like(scores, torch.nan)
        count = len(self.normal_scores)
        if torch.compiler.is_compiling():  # for ONNX, which has no search; a NaN counts as the highest in both
            at_least_as_high = (self.normal_scores >= scores.unsqueeze(1)).sum(1)
        else:
            at_least_as_high = count - torch.searchsorted(self.normal_scores, scores.contiguous())
        return (1 + at_least_as_high).float() / (1 + count)
