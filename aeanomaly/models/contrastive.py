"""A denoising autoencoder on fixed features that also learns which views are of the same image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from aeanomaly.errors import UserError
from aeanomaly.models.feature_reconstruction import FeatureAutoencoder
from aeanomaly.models.front_end import FrontEnd
from aeanomaly.models.views import Geometry
from aeanomaly.outputs import Output


class ContrastiveAutoencoder(FeatureAutoencoder):
    """Restores the features of an image from those of a changed view of it, and tells views of one image from others.

    The second task makes codes near each other for images that differ in what views change, and far apart for others
    (NT-Xent, SimCLR: Chen et al., 2020), so that the distance to the nearest normal codes is a good anomaly score. The
    first, and all that scores may read, are those of `FeatureAutoencoder`.

    Args:
        front: (B, C, H, W) images to (B, F, G, G) features; None for oriented gradients. It is fixed.
        views: modules that change images at random, applied one after the other; None for a `Geometry`.
        channels: of the two convolutions, C1 and C2.
        hidden: width of the layer before the code.
        code_size: D.
        temperature: of the contrastive term; lower ones look at the nearest other images only.
        reconstruction: weight of the reconstruction beside the contrastive term.

    Raises:
        UserError: if a size or the temperature is not positive, or the weight is negative.
    """

    def __init__(
        self,
        front: FrontEnd | None = None,
        views: Sequence[nn.Module] | None = None,
        channels: tuple[int, int] = (64, 128),
        hidden: int = 512,
        code_size: int = 128,
        temperature: float = 0.2,
        reconstruction: float = 10.0,
    ) -> None:
        super().__init__(front, [Geometry()] if views is None else views, channels, hidden, code_size)
        if temperature <= 0 or reconstruction < 0:
            raise UserError(
                "model.net: the temperature must be above 0 and the weight of the reconstruction at least 0, got "
                f"{temperature=}, {reconstruction=}"
            )
        self.temperature, self.reconstruction = temperature, reconstruction

    def add_head(self, code_size: int) -> None:
        """The layer whose outputs the contrastive term compares, so that codes may keep what views change."""
        self.head = nn.Linear(code_size, code_size)

    def loss_terms(self, output: Output) -> dict[str, Tensor]:
        """The weighted 1 - cosine of restored and true features."""
        return {name: self.reconstruction * term for name, term in super().loss_terms(output).items()}

    def training_loss(self, x: Tensor) -> tuple[dict[str, Tensor], Output]:
        """The contrastive term and the weighted reconstruction, over two views an image, in evaluation too.

        The output is that of the unchanged images; in training, where nobody reads it, that of the views.
        """
        target = self.target(x)
        code = self.encode(self.views(torch.cat([x, x])))
        of_views = Output(code, self.decode(code), torch.cat([target, target]))
        terms = {"contrastive": nt_xent(self.head(code), self.temperature), **self.loss_terms(of_views)}
        return terms, of_views if self.training else self(x)


def nt_xent(projected: Tensor, temperature: float) -> Tensor:
    """The normalised temperature-scaled cross entropy of SimCLR (Chen et al., 2020).

    Args:
        projected: (2 B, D), two views of each of B images: those of image i are rows i and B + i.
        temperature: divides the cosines.

    Returns:
        The mean, over the 2 B views, of -log of the softmax share of the other view among all other rows.
    """
    with torch.autocast(projected.device.type, enabled=False):  # cosines near 1 have few digits in bf16
        rows = functional.normalize(projected.float(), dim=1)
        similarity = (rows @ rows.T / temperature).fill_diagonal_(-torch.inf)
    partner = torch.arange(len(rows), device=rows.device).roll(len(rows) // 2)
    return functional.cross_entropy(similarity, partner)
