"""RaPP: what the encoder makes of an image and of its reconstruction."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.outputs import Output
from aeanomaly.scores.base import Score
from aeanomaly.scores.vector import checked_fields, require_spread, require_usable

_IMAGES_AT_ONCE = 4096


class SAP(Score):
    """Simple aggregation along the pathway (Kim et al., RaPP, ICLR 2020).

    The squared distance between image and reconstruction, plus that between the encoder's activations for the one and
    for the other, summed over layers: where the autoencoder reproduces an anomaly, the hidden layers may still tell
    that it has never seen one. The net runs a second time, on its reconstruction.

    Args:
        layers: output fields that are compared besides the image: ``code``, and ``features.LAYER`` of nets that offer
            inner activations.

    Raises:
        UserError: if a name is none of an output field.
    """

    reads: tuple[str, ...] = ("reconstruction", "target", "code", "again.code")

    def __init__(self, layers: Sequence[str] = ("code",)) -> None:
        super().__init__()
        kind = type(self).__name__
        checked_fields(kind, tuple(layers))
        wrong = [name for name in layers if not name.startswith(("code", "features."))]
        if wrong:
            raise UserError(f"model.scores: {kind} compares the encoder's layers, code or features.LAYER, not {wrong}")
        self.layers = tuple(layers)
        self.reads = ("reconstruction", "target", *layers, *(f"again.{name}" for name in layers))

    def differences(self, output: Output) -> Tensor:
        """(B, D) differences between image and reconstruction in the input and in each layer, joined."""
        tensors = output.tensors()
        pieces = [tensors[name] - tensors[f"again.{name}"] for name in self.layers]
        return torch.cat([piece.flatten(1) for piece in (output.target - output.reconstruction, *pieces)], 1)

    def forward(self, output: Output) -> Tensor:
        """(B,) sums of squared differences."""
        return self.differences(output).square_().sum(1)


class NAP(SAP):
    """Normalised aggregation along the pathway (Kim et al., RaPP, ICLR 2020).

    As `SAP`, in directions whitened by those differences of normal training images: a layer, or a pixel, whose
    activations are large no longer drowns the others. With the centred differences of the training images as rows of
    U S V', the score is the squared length of (d - mean) V / S. Fitting holds a D x D matrix in float64 and takes time
    growing as D cubed, D counting the image and all layers.

    Args:
        layers: as `SAP`.
        tolerance: directions with a singular value below this share of the largest are left out: normal images do not
            differ there, so that a difference would be divided by rounding errors.

    Raises:
        UserError: if a name is none of an output field, or ``tolerance`` is no share.
    """

    fitted_on = "train"
    mean: Tensor
    whitening: Tensor

    def __init__(self, layers: Sequence[str] = ("code",), tolerance: float = 1e-5) -> None:
        super().__init__(layers)
        if not 0 < tolerance < 1:
            raise UserError(f"model.scores: NAP needs a {tolerance=} between 0 and 1")
        self.tolerance = tolerance
        self.register_buffer("mean", torch.empty(0))  # (D,)
        self.register_buffer("whitening", torch.empty(0))  # (D, R) V / S

    def fit(self, outputs: Output) -> None:
        """Find mean and singular vectors of the training differences.

        Raises:
            UserError: if there are fewer than two images, a difference is not finite, or all are the same.
        """
        device = self.mean.device
        differences = require_usable(self, self.differences(outputs).cpu(), at_least=2)
        require_spread("NAP", differences)
        mean = differences.mean(0, dtype=torch.float64)
        # Singular values and vectors from a D x D product, piece by piece, because the N x D matrix and its
        # decomposition in float64 need several times the memory. Exact for singular values down to 1e-7 of the largest.
        product = torch.zeros(len(mean), len(mean), dtype=torch.float64)
        for piece in differences.split(_IMAGES_AT_ONCE):
            centred = piece - mean
            product.addmm_(centred.T, centred)
        squares, directions = torch.linalg.eigh(product)
        values = squares.clamp(min=0).sqrt()
        kept = values > values[-1] * self.tolerance
        self.mean = mean.float().to(device)
        self.whitening = (directions[:, kept] / values[kept]).float().to(device)

    def forward(self, output: Output) -> Tensor:
        """(B,) squared lengths of the whitened differences."""
        return ((self.differences(output) - self.mean) @ self.whitening).square_().sum(1)
