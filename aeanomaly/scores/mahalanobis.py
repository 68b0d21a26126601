"""Mahalanobis distance with a shrunk covariance."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from aeanomaly.outputs import Output
from aeanomaly.scores.vector import VectorScore, require_spread


class Mahalanobis(VectorScore):
    """Squared Mahalanobis distance to the mean of normal training images.

    The covariance is scikit-learn's estimate shrunk towards a multiple of the identity by Ledoit and Wolf's rule
    (2004), which stays well conditioned with fewer images than dimensions. Fitting holds a few D x D matrices and
    takes time growing as D cubed.

    Args:
        fields: output fields that are joined to one vector of size D, such as ``code`` or ``features.layer2``.

    Raises:
        UserError: if a name is none of an output field.
    """

    fitted_on = "train"
    mean: Tensor
    whitening: Tensor

    def __init__(self, fields: Sequence[str] = ("code",)) -> None:
        super().__init__(*fields)
        self.register_buffer("mean", torch.empty(0))  # (D,)
        self.register_buffer("whitening", torch.empty(0))  # (D, R), times its transpose the inverse covariance

    def fit(self, outputs: Output) -> None:
        """Estimate mean and covariance.

        Raises:
            UserError: if there are fewer than two images, a value is not finite, or all images look the same.
        """
        from sklearn.covariance import LedoitWolf

        device, vectors = self.mean.device, self.normal_vectors(outputs, at_least=2)
        require_spread("Mahalanobis", vectors)
        estimator = LedoitWolf(store_precision=False).fit(vectors.double().numpy())
        variance, directions = torch.linalg.eigh(torch.from_numpy(estimator.covariance_))
        # Leaves out a direction without any variance, should shrinking not have lifted it.
        kept = variance > variance[-1] * len(variance) * torch.finfo(variance.dtype).eps
        self.mean = torch.from_numpy(estimator.location_).float().to(device)
        self.whitening = (directions[:, kept] / variance[kept].sqrt()).float().to(device)

    def forward(self, output: Output) -> Tensor:
        """(B,) squared distances."""
        return ((self.vectors(output) - self.mean) @ self.whitening).square_().sum(1)
