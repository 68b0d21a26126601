"""How much the structure of the reconstruction differs from that of the image."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.outputs import Output
from aeanomaly.scores.base import Score


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
    chunk: ClassVar[int | None] = 256  # the library holds about eight arrays of the size of the images

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
        from torchmetrics.functional.image import structural_similarity_index_measure

        target = output.target
        border = int(3.5 * self.sigma + 0.5)  # half the window, which the library reflects
        if target.ndim != 4 or min(target.shape[2:]) <= border:
            raise UserError(
                f"StructuralDissimilarity with sigma {self.sigma} needs images of more than {border}x{border} pixels, "
                f"got targets of shape {tuple(target.shape[1:])}: lower sigma, or leave this score out"
            )
        if not len(target):
            return target.sum(1)  # the library does not take an empty batch
        _, similarity = structural_similarity_index_measure(
            output.reconstruction, target, sigma=self.sigma, data_range=1.0, reduction="none", return_full_image=True
        )
        return 1 - similarity.mean(1)
