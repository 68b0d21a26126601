"""Reconstruction errors that put the pixels together otherwise than `aeanomaly.scores.reconstruction`."""

from __future__ import annotations

import math

from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.outputs import Output
from aeanomaly.scores.base import Score
from aeanomaly.scores.reconstruction import by_place


class AbsoluteError(Score):
    """Absolute difference between reconstruction and target, summed over pixels.

    A few pixels that are far off weigh less in it than in the squared error.
    """

    reads = ("reconstruction", "target")

    def forward(self, output: Output) -> Tensor:
        """(B,) summed absolute errors."""
        return (output.reconstruction - output.target).abs_().flatten(1).sum(1)

    def map(self, output: Output) -> Tensor | None:
        """(B, h, w) absolute errors summed over channels; None if the target has no places."""
        return by_place((output.reconstruction - output.target).abs_())


class RelativeError(Score):
    """Squared error relative to the ink: divided by the sum of squared target values plus a constant.

    The squared error grows with the ink of an image, whatever its kind: a bold normal digit scores above a thin
    anomalous one. Relative to the ink both are judged alike.

    Args:
        constant: what is added to the ink, in the ink of pixels of value 1; keeps an empty image from dividing by 0.

    Raises:
        UserError: if ``constant`` is not positive.
    """

    reads = ("reconstruction", "target")

    def __init__(self, constant: float = 1.0) -> None:
        super().__init__()
        if not constant > 0:
            raise UserError(f"model.scores: RelativeError needs a {constant=} above 0")
        self.constant = constant

    def _errors(self, output: Output) -> Tensor:
        """Squared errors relative to the ink of their image, of the shape of the target."""
        ink = output.target.square().flatten(1).sum(1) + self.constant
        errors = (output.reconstruction - output.target).square_()
        return errors.div_(ink.view(-1, *[1] * (errors.ndim - 1)))

    def forward(self, output: Output) -> Tensor:
        """(B,) relative errors; 1 for a black reconstruction of an image with much ink."""
        return self._errors(output).flatten(1).sum(1)

    def map(self, output: Output) -> Tensor | None:
        """(B, h, w) shares of the places in the score; None if the target has no places."""
        return by_place(self._errors(output))


class TopPixels(Score):
    """Mean of the largest squared errors of an image, for anomalies that cover a small part of it.

    The error of a pixel is summed over its channels. If the target is no image, each of its numbers is a pixel.

    Args:
        share: which share of the pixels counts, above 0 and at most 1; rounded up to whole pixels.

    Raises:
        UserError: if ``share`` is no such share.
    """

    reads = ("reconstruction", "target")

    def __init__(self, share: float = 0.05) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise UserError(f"model.scores: TopPixels needs a {share=} above 0 and at most 1")
        self.share = share

    def forward(self, output: Output) -> Tensor:
        """(B,) means."""
        errors = (output.reconstruction - output.target).square_()
        places = by_place(errors)
        pixels = (errors if places is None else places).flatten(1)
        # Rounding noise must not make 6 of 0.05 * 100 = 5.000000000000001.
        count = max(1, math.ceil(self.share * pixels.shape[1] - 1e-6))
        return pixels.topk(count, dim=1, sorted=False).values.mean(1)

    def map(self, output: Output) -> Tensor | None:
        """(B, h, w) squared errors of all places, summed over channels; None if the target has no places."""
        return by_place((output.reconstruction - output.target).square_())
