"""Density of a Gaussian mixture."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.outputs import Output
from aeanomaly.scores.vector import VectorScore, checked_seed


class GaussianMixture(VectorScore):
    """Negative log-likelihood under a mixture of K Gaussians fitted to the codes of normal training images.

    Unlike KMeans' clusters its components have a shape (a full covariance each) and a weight. scikit-learn fits them
    by expectation maximisation.

    Args:
        n_components: K, capped by the number of codes.
        field: output field that is modelled, such as ``code`` or ``features.layer2``.
        random_state: seed of the starts.
        n_init: number of starts, the best of which is kept.
        max_iter: steps of expectation maximisation at most.
        reg_covar: what is added to every variance, so that no component collapses to a point.

    Raises:
        UserError: if a number is too small, or ``field`` is no output field.
    """

    fitted_on = "train"
    means: Tensor
    precisions: Tensor
    log_weights: Tensor
    converged: Tensor

    def __init__(
        self,
        n_components: int = 9,
        field: str = "code",
        random_state: int = 9,
        n_init: int = 1,
        max_iter: int = 100,
        reg_covar: float = 1e-6,
    ) -> None:
        super().__init__(field)
        if min(n_components, n_init, max_iter) < 1 or reg_covar < 0:
            raise UserError(
                f"model.scores: GaussianMixture needs {n_components=}, {n_init=} and {max_iter=} of at least 1 and "
                f"{reg_covar=} of at least 0"
            )
        self.n_components, self.n_init, self.max_iter, self.reg_covar = n_components, n_init, max_iter, reg_covar
        self.random_state = checked_seed("GaussianMixture", random_state)
        self.register_buffer("means", torch.empty(0))  # (K, D)
        self.register_buffer("precisions", torch.empty(0))  # (K, D, D) Cholesky factors of the inverse covariances
        self.register_buffer("log_weights", torch.empty(0))  # (K,)
        self.register_buffer("converged", torch.empty(0))  # (1,) 1 or 0

    def fit(self, outputs: Output) -> None:
        """Fit the mixture to the (N, D) codes.

        Raises:
            UserError: if there are fewer than two codes, one is not finite, or a covariance cannot be inverted.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture as SklearnMixture

        codes = self.normal_vectors(outputs, at_least=2).double().numpy()
        estimator = SklearnMixture(
            min(self.n_components, len(codes)),
            random_state=self.random_state,
            n_init=self.n_init,
            max_iter=self.max_iter,
            reg_covar=self.reg_covar,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # `problems` reports it by name
            try:
                estimator.fit(codes)
            except ValueError as error:
                if "covariance" not in str(error):
                    raise
                raise UserError(
                    f"GaussianMixture cannot be fitted: a component collapsed; raise reg_covar ({self.reg_covar}) or "
                    f"lower n_components ({self.n_components})"
                ) from None
        device = self.means.device
        self.means = torch.from_numpy(estimator.means_).float().to(device)
        self.precisions = torch.from_numpy(estimator.precisions_cholesky_).float().to(device)
        self.log_weights = torch.from_numpy(estimator.weights_).log().float().to(device)
        self.converged = torch.tensor([float(estimator.converged_)], device=device)

    def forward(self, output: Output) -> Tensor:
        """(B,) negative log-likelihoods in nats."""
        code = self.vectors(output)
        # One component after the other: all at once would hold B x K x D numbers. Differences rather than the expanded
        # square: exact for codes far from the origin.
        pairs = zip(self.means, self.precisions, strict=True)
        distances = torch.stack([((code - mean) @ factor).square_().sum(1) for mean, factor in pairs], 1)
        log_determinants = self.precisions.diagonal(dim1=1, dim2=2).log().sum(1)
        constants = self.log_weights + log_determinants - code.shape[1] / 2 * math.log(2 * math.pi)
        return -(constants - distances / 2).logsumexp(1)

    def problems(self) -> list[str]:
        """Says if the fit was cut short."""
        if self.converged.all():
            return []
        return [f"the Gaussian mixture had not converged after {self.max_iter} steps (raise max_iter)"]
