"""How much the structure of the reconstruction differs from that of the image."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from aeanomaly.errors import UserError
from aeanomaly.outputs import Output
from aeanomaly.scores.base import Score

_C1, _C2 = 0.01**2, 0.03**2  # K1 and K2 squared, for values in [0, 1]


class StructuralDissimilarity(Score):
    """1 - SSIM, averaged over places and channels (Wang, Bovik, Sheikh and Simoncelli, 2004).

    SSIM compares mean, variance and covariance of reconstruction and image under a Gaussian window around each place,
    with the paper's constants K1 = 0.01 and K2 = 0.03 for values in [0, 1]. A stroke in the wrong place weighs much, a
    change of brightness little. The paper leaves out the places whose window leaves the image; here the image is
    mirrored at its border, so that a defect there counts too.

    Args:
        sigma: standard deviation of the window in pixels; the paper's is 1.5, with a window of 11 pixels, and other
            windows are cut off at 3.5 standard deviations likewise.

    Raises:
        UserError: if ``sigma`` is not positive.
    """

    reads = ("reconstruction", "target")
    chunk: ClassVar[int | None] = 256  # it holds about eight arrays of the size of the images

    def __init__(self, sigma: float = 1.5) -> None:
        super().__init__()
        if not sigma > 0:
            raise UserError(f"model.scores: StructuralDissimilarity needs a {sigma=} above 0")
        self.sigma = sigma

    def forward(self, output: Output) -> Tensor:
        """(B,) dissimilarities from 0 to 2.

        Raises:
            UserError: if the target is no image, or one too small for the window.
        """
        return self.map(output).flatten(1).mean(1)

    def map(self, output: Output) -> Tensor:
        """(B, H, W) dissimilarities around each place, averaged over channels.

        Raises:
            UserError: as `forward`.
        """
        target = output.target
        border = int(3.5 * self.sigma + 0.5)  # half the window
        if target.ndim != 4 or min(target.shape[2:]) <= border:
            raise UserError(
                f"StructuralDissimilarity with sigma {self.sigma} needs images of more than {border}x{border} pixels, "
                f"got targets of shape {tuple(target.shape[1:])}: lower sigma, or leave this score out"
            )
        if not target.shape[0]:
            return target.sum(1)
        sides = (border,) * 4
        one, other = (functional.pad(x, sides, mode="reflect") for x in (output.reconstruction, target))
        joined = torch.cat([one, other, one * one, other * other, one * other])
        channels, window = target.shape[1], _window(self.sigma, border, target.device)
        kernel = window.expand(channels, 1, *window.shape)
        if joined.is_cuda:  # where cuDNN multiplies float32 with ten bits (TF32), too few for a difference of squares
            joined, kernel = joined.double(), kernel.double()
        # As torchmetrics computes it, which splits by the number of images: of a graph that is no number yet.
        averaged = functional.conv2d(joined, kernel, groups=channels).float()
        mean1, mean2, square1, square2, product = averaged.unflatten(0, (5, -1))
        squares1, squares2, means = mean1.square(), mean2.square(), mean1 * mean2
        variances = (square1 - squares1).clamp_min(0) + (square2 - squares2).clamp_min(0)
        upper = (2 * means + _C1) * (2 * (product - means) + _C2)
        similarity = upper / ((squares1 + squares2 + _C1) * (variances + _C2))
        dissimilarity: Tensor = 1 - similarity.mean(1)
        return dissimilarity


def _window(sigma: float, border: int, device: torch.device) -> Tensor:
    """(2 border + 1, 2 border + 1) weights of a Gaussian, which sum to 1."""
    places = torch.arange(-border, border + 1, dtype=torch.float32, device=device)
    weights = (-(places / sigma).square() / 2).exp()
    weights = weights / weights.sum()
    return weights.unsqueeze(1) @ weights.unsqueeze(0)
