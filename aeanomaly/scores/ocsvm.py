"""Distance to the boundary that a one-class support vector machine draws around normal codes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.outputs import Output
from aeanomaly.scores.vector import VectorScore, by_distances, checked_seed


class OneClassSVM(VectorScore):
    """Minus the decision function of a one-class support vector machine (Schölkopf et al., 2001), RBF kernel.

    Above 0 outside the boundary. scikit-learn finds the support vectors among the codes of normal training images, in
    time growing as the square of their number.

    Args:
        nu: share of the codes that may lie outside, above 0 and below 1; also the least share of support vectors.
        gamma: the kernel of a and b is exp(-gamma |a - b|^2); ``scale`` for 1 / (D times the variance of all numbers).
        field: output field that is judged, such as ``code`` or ``features.layer2``.
        max_codes: how many codes it is fitted on, drawn at random from more.
        random_state: seed of the draw.

    Raises:
        UserError: if a number is out of its range, or ``field`` is no output field.
    """

    fitted_on = "train"
    support: Tensor
    dual: Tensor
    offset: Tensor
    scale: Tensor

    def __init__(
        self,
        nu: float = 0.1,
        gamma: float | Literal["scale"] = "scale",
        field: str = "code",
        max_codes: int = 5000,
        random_state: int = 9,
    ) -> None:
        super().__init__(field)
        if not 0 < nu < 1 or (gamma != "scale" and not gamma > 0) or max_codes < 2:
            raise UserError(
                f"model.scores: OneClassSVM needs {nu=} above 0 and below 1, {gamma=} above 0 and {max_codes=} of at "
                "least 2"
            )
        self.nu, self.gamma, self.max_codes = nu, gamma, max_codes
        self.random_state = checked_seed("OneClassSVM", random_state)
        self.register_buffer("support", torch.empty(0))  # (S, D) support vectors
        self.register_buffer("dual", torch.empty(0))  # (S,) their coefficients
        self.register_buffer("offset", torch.empty(0))  # (1,) what the decision function subtracts
        self.register_buffer("scale", torch.empty(0))  # (1,) gamma

    def fit(self, outputs: Output) -> None:
        """Find the support vectors among the (N, D) codes.

        Raises:
            UserError: if there are fewer than two codes, or one is not finite.
        """
        from sklearn.svm import OneClassSVM as SklearnSVM

        device = self.support.device
        codes = self.normal_vectors(outputs, 2, self.max_codes, self.random_state).double()
        # As scikit-learn's own "scale", which it does not tell.
        variance = codes.var(correction=0).item() or 1 / codes.shape[1]
        gamma = 1 / (codes.shape[1] * variance) if self.gamma == "scale" else float(self.gamma)
        estimator = SklearnSVM(nu=self.nu, gamma=gamma).fit(codes.numpy())
        self.support = torch.from_numpy(estimator.support_vectors_).float().to(device)
        self.dual = torch.from_numpy(estimator.dual_coef_[0]).float().to(device)
        self.offset = torch.from_numpy(estimator.offset_).float().to(device)
        self.scale = torch.tensor([gamma], dtype=torch.float32, device=device)

    def forward(self, output: Output) -> Tensor:
        """(B,) distances to the boundary in the kernel's space, up to a common factor; negative inside."""
        centre = self.support.mean(0)  # the same distances, more exactly

        def decide(distances: Tensor) -> Tensor:
            return distances.mul_(-self.scale).exp_() @ self.dual - self.offset

        return -by_distances(self.vectors(output) - centre, self.support - centre, decide)
