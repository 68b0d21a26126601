"""The reconstruction error."""

from __future__ import annotations

from torch import Tensor

from aeanomaly.outputs import Output
from aeanomaly.scores.base import Score


def by_place(errors: Tensor) -> Tensor | None:
    """(B, C, h, w) errors summed over channels to (B, h, w); None for errors without places."""
    return errors.sum(1) if errors.ndim == 4 else None


class ReconstructionError(Score):
    """Squared error between reconstruction and target, **summed** over pixels.

    Summed as in the study, so that its threshold of 35 keeps its meaning: for 28x28 images it is 784 times the mean.
    """

    reads = ("reconstruction", "target")

    def forward(self, output: Output) -> Tensor:
        """(B,) summed squared errors."""
        # In place: fresh memory for as many pixels again takes longer than squaring them.
        return (output.reconstruction - output.target).square_().flatten(1).sum(1)

    def map(self, output: Output) -> Tensor | None:
        """(B, h, w) squared errors summed over channels: those of pixels, or of the places of features.

        They add up to the score. None if the target has no places.
        """
        return by_place((output.reconstruction - output.target).square_())
