"""Density of a Gaussian kernel around every normal code."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.outputs import Output
from aeanomaly.scores.vector import VectorScore, by_distances, checked_seed, require_spread


class KernelDensity(VectorScore):
    """Negative logarithm of the density of normal training codes, estimated with a Gaussian kernel around each.

    It bends to any shape of the normal codes, and is worth its bank of codes where these are few-dimensional.

    Args:
        bandwidth: standard deviation h of the kernel, the same in every direction; ``scott`` for Scott's rule (1992),
            s N^(-1 / (D + 4)), s being the root of the mean variance of the codes over their D directions.
        field: output field whose density it is, such as ``code`` or ``features.layer2``.
        max_codes: how many codes the bank keeps, drawn at random from more; null for all. Time and memory of scoring
            grow with it.
        random_state: seed of the draw.

    Raises:
        UserError: if ``bandwidth`` or ``max_codes`` is too small, or ``field`` is no output field.
    """

    fitted_on = "train"
    bank: Tensor
    mean: Tensor
    width: Tensor

    def __init__(
        self,
        bandwidth: float | Literal["scott"] = "scott",
        field: str = "code",
        max_codes: int | None = None,
        random_state: int = 9,
    ) -> None:
        super().__init__(field)
        if (bandwidth != "scott" and not bandwidth > 0) or (max_codes is not None and max_codes < 1):
            raise UserError(f"model.scores: KernelDensity needs {bandwidth=} above 0 and {max_codes=} of at least 1")
        self.bandwidth, self.max_codes = bandwidth, max_codes
        self.random_state = checked_seed("KernelDensity", random_state)
        self.register_buffer("bank", torch.empty(0))  # (N, D) codes less their mean
        self.register_buffer("mean", torch.empty(0))  # (D,)
        self.register_buffer("width", torch.empty(0))  # (1,) the bandwidth h

    def fit(self, outputs: Output) -> None:
        """Keep the codes, and choose the bandwidth.

        Raises:
            UserError: if there are too few codes, one is not finite, or all are the same and the bandwidth is not
                given.
        """
        scott, device = self.bandwidth == "scott", self.bank.device
        codes = self.normal_vectors(outputs, 2 if scott else 1, self.max_codes, self.random_state).double()
        count, size = codes.shape
        if scott:
            require_spread("KernelDensity", codes)
        width = codes.var(0).mean().sqrt().item() * count ** (-1 / (size + 4)) if scott else float(self.bandwidth)
        mean = codes.mean(0)
        # The same density: distances in float32 are the more exact the closer to the origin.
        self.bank, self.mean = (codes - mean).float().to(device), mean.float().to(device)
        self.width = torch.tensor([width], dtype=torch.float32, device=device)

    def forward(self, output: Output) -> Tensor:
        """(B,) negative log-densities in nats."""
        code, (count, size) = self.vectors(output) - self.mean, self.bank.shape
        normaliser = math.log(count) + size / 2 * math.log(2 * math.pi) + size * self.width.log()
        factor = -2 * self.width.square()
        logs = by_distances(code, self.bank, lambda distances: distances.div_(factor).logsumexp(1))
        return normaliser - logs
