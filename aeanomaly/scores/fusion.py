"""Several scores in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.outputs import Output
from aeanomaly.scores.base import Score


class Fusion(Score):
    """How far an image lies above the normal ones by several scores together.

    Each score is first measured in standard deviations of its logarithm over held-out normal images (see
    `Calibration.standardised`), so that scores of different units can be put together without any anomaly. A plain mean
    lets a score that is blind to a kind of anomaly hide what another one sees; the other two rules let the high values
    decide.

    Mean and deviation are used rather than p-values of the empirical distribution. Of N held-out images, the smallest
    p-value is 1 / (N + 1), both for an image just beyond all of them and for one far beyond.

    Args:
        of: names of the scores, which are listed before this one.
        combine: ``max``, the highest; ``squares``, the root of the sum of squares of the values above 0, or, where none
            is above 0, the highest, so that images that lie below the mean by every score are still told apart;
            ``mean``.

    Raises:
        UserError: if no score is named.
    """

    reads: tuple[str, ...] = ("scores.*",)  # those of an instance are named when it is made

    def __init__(self, of: Sequence[str], combine: Literal["max", "squares", "mean"] = "squares") -> None:
        super().__init__()
        if not of:
            raise UserError("model.scores: Fusion needs the names of the scores that it puts together, in `of`")
        self.reads = tuple(f"scores.{name}" for name in of)
        self.combine = combine

    def forward(self, output: Output) -> Tensor:
        """(B,) fused scores."""
        tensors = output.tensors()
        values = torch.stack([tensors[field] for field in self.reads])
        if self.combine == "max":
            return values.amax(0)
        if self.combine == "mean":
            return values.mean(0)
        # A NaN must not become 0, which is what the comparison within relu would make of it.
        above = values.clamp_min(0).square().sum(0).sqrt()
        return torch.where(above > 0, above, values.amax(0))
