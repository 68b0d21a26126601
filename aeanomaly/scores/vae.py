"""Scores of variational autoencoders: how likely the image is under the model."""

from __future__ import annotations

from torch import Tensor

from aeanomaly.outputs import Output
from aeanomaly.scores.base import Score


class ReconstructionProbability(Score):
    """Minus the expected log likelihood of the image, for codes drawn from its posterior (An and Cho, 2015).

    The net draws the codes and offers the mean over them as ``features.log_likelihood``, (B,), because a score sees an
    output and no decoder: `aeanomaly.models.variational.VariationalAutoencoder` does, with noise that never changes, so
    that an image has one score. Its ``samples`` is the L of the paper, its ``likelihood`` the distribution of pixels.
    """

    reads: tuple[str, ...] = ("features.log_likelihood",)

    def forward(self, output: Output) -> Tensor:
        """(B,) negative log likelihoods, in nats, summed over pixels."""
        return -output.features["log_likelihood"]


class NegativeElbo(ReconstructionProbability):
    """Minus the evidence lower bound of the image (Kingma and Welling, 2014), an upper bound of minus its log density.

    To the `ReconstructionProbability` it adds ``features.kl``, (B,), the divergence of the image's codes from those of
    all images. The net's beta plays no part: with it the sum would be no bound.
    """

    reads = ("features.log_likelihood", "features.kl")

    def forward(self, output: Output) -> Tensor:
        """(B,) in nats."""
        return super().forward(output) + output.features["kl"]
