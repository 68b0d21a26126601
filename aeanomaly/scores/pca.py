"""Distance to the subspace in which normal images vary most."""

from __future__ import annotations

import torch
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.outputs import Output
from aeanomaly.scores.vector import VectorScore, checked_seed, require_spread


class PCA(VectorScore):
    """Squared error, summed, of a reconstruction from the principal components of normal training images.

    The best that a linear autoencoder can do (Baldi and Hornik, 1989). scikit-learn finds the components.

    Args:
        n_components: how many, capped by what the images allow, or the share of the variance, above 0 and below 1,
            that they shall explain together.
        field: output field that is reconstructed, such as ``target`` for images, ``code`` or ``features.layer2``.
        random_state: seed, should scikit-learn take a randomised solver.

    Raises:
        UserError: if ``n_components`` is neither, or ``field`` is no output field.
    """

    fitted_on = "train"
    mean: Tensor
    components: Tensor

    def __init__(self, n_components: int | float = 0.9, field: str = "target", random_state: int = 9) -> None:
        super().__init__(field)
        if not (0 < n_components < 1 or (isinstance(n_components, int) and n_components >= 1)):
            raise UserError(f"model.scores: PCA needs {n_components=} of at least 1, or a share above 0 and below 1")
        self.n_components, self.random_state = n_components, checked_seed("PCA", random_state)
        self.register_buffer("mean", torch.empty(0))  # (D,)
        self.register_buffer("components", torch.empty(0))  # (K, D), orthonormal

    def fit(self, outputs: Output) -> None:
        """Find the components of the (N, D) rows of the field.

        Raises:
            UserError: if there are fewer than two images, all are the same, a value is not finite, or the components
                leave no error.
        """
        from sklearn import decomposition

        device, vectors = self.mean.device, self.normal_vectors(outputs, at_least=2)
        require_spread("PCA", vectors)
        count = min(self.n_components, *vectors.shape)
        estimator = decomposition.PCA(count, random_state=self.random_state).fit(vectors.double().numpy())
        if len(estimator.components_) == vectors.shape[1]:
            raise UserError(f"PCA cannot be fitted: {count} components of {vectors.shape[1]} numbers leave no error")
        self.mean = torch.from_numpy(estimator.mean_).float().to(device)
        self.components = torch.from_numpy(estimator.components_).float().to(device)

    def forward(self, output: Output) -> Tensor:
        """(B,) squared errors, summed over the field."""
        centred = self.vectors(output) - self.mean
        return (centred - centred @ self.components.T @ self.components).square_().sum(1)
