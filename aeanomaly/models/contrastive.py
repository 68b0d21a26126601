"""A denoising autoencoder on fixed features that also learns which views are of the same image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from aeanomaly.errors import UserError
from aeanomaly.models.base import Autoencoder
from aeanomaly.models.oriented_gradients import OrientedGradients
from aeanomaly.models.views import Geometry
from aeanomaly.outputs import Output

_GAIN = 20.0  # the net sees features of this length, about 1 for each that matters


class ContrastiveAutoencoder(Autoencoder):
    """Restores the features of an image from those of a changed view of it, and tells views of one image from others.

    The second task makes codes near each other for images that differ in what views change, and far apart for others
    (NT-Xent, SimCLR: Chen et al., 2020), so that the distance to the nearest normal codes is a good anomaly score. The
    first is that of a denoising autoencoder (Vincent et al., 2008), on the features of a fixed front end.

    The net takes images of any size and number of channels. Codes and reconstructions are of features, not of pixels:
    target and reconstruction are (B, F, G, G) of length 1. Scores may read, besides ``code``,

    - ``features.pooled`` (B, F): root mean square of each feature over the image, for what has no fixed place;
    - ``features.layer1`` (B, 9 C1): the first layer, averaged to 3x3 places;
    - ``features.layer2`` (B, hidden): the layer before the code.

    Args:
        front: (B, C, H, W) images to (B, F, G, G) features; has ``channels`` (F) and ``grid`` (G). It is fixed.
        views: modules that change images at random, applied one after the other.
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
        front: OrientedGradients | None = None,
        views: Sequence[nn.Module] | None = None,
        channels: tuple[int, int] = (64, 128),
        hidden: int = 512,
        code_size: int = 128,
        temperature: float = 0.2,
        reconstruction: float = 10.0,
    ) -> None:
        super().__init__()
        if min(*channels, hidden, code_size) < 1 or temperature <= 0 or reconstruction < 0:
            raise UserError(
                f"model.net: sizes must be at least 1, the temperature above 0 and the weight of the reconstruction at "
                f"least 0, got {channels=}, {hidden=}, {code_size=}, {temperature=}, {reconstruction=}"
            )
        self.front = OrientedGradients() if front is None else front
        if any(True for _ in self.front.parameters()):
            self.freeze("front")
        self.views = nn.Sequential(*([Geometry()] if views is None else views))
        self.temperature, self.reconstruction = temperature, reconstruction
        features, grid = self.front.channels, self.front.grid
        first, second = channels
        self.layer1 = nn.Sequential(nn.Conv2d(features, first, 3, padding=1), nn.BatchNorm2d(first), nn.ReLU())
        self.layer2 = nn.Sequential(
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            nn.BatchNorm2d(second),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(second * ((grid + 1) // 2) ** 2, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
        )
        self.to_code = nn.Linear(hidden, code_size)
        self.head = nn.Linear(code_size, code_size)
        self.decoder = nn.Sequential(
            nn.Linear(code_size, hidden),
            nn.ReLU(),
            nn.Linear(hidden, features * grid**2),
            nn.Unflatten(1, (features, grid, grid)),
        )

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, H, W) images to (B, D) codes."""
        code: Tensor = self.to_code(self.layer2(self.layer1(_unit(self.front(x)) * _GAIN)))
        return code

    def decode(self, code: Tensor) -> Tensor:
        """(B, D) codes to (B, F, G, G) features of length 1."""
        return _unit(self.decoder(code))

    def forward(self, x: Tensor) -> Output:
        """Encode and decode (B, C, H, W) images, without changing them."""
        found = self.front(x)
        target = _unit(found)
        layer1 = self.layer1(target * _GAIN)
        layer2 = self.layer2(layer1)
        code = self.to_code(layer2)
        features = {
            "pooled": found.square().mean((2, 3)).sqrt(),
            "layer1": functional.adaptive_avg_pool2d(layer1, 3).flatten(1),
            "layer2": layer2,
        }
        return Output(code=code, reconstruction=self.decode(code), target=target, features=features)

    def training_loss(self, x: Tensor) -> tuple[dict[str, Tensor], Output]:
        """The contrastive term and the weighted 1 - cosine of restored and true features, over two views an image.

        The output is that of the unchanged images; in training, where nobody reads it, that of the views.
        """
        target = _unit(self.front(x))
        code = self.encode(self.views(torch.cat([x, x])))
        restored = self.decode(code)
        target_of_views = torch.cat([target, target])
        terms = {
            "contrastive": nt_xent(self.head(code), self.temperature),
            "reconstruction": self.reconstruction * (1 - (restored * target_of_views).flatten(1).sum(1)).mean(),
        }
        return terms, Output(code, restored, target_of_views) if self.training else self(x)


def nt_xent(projected: Tensor, temperature: float) -> Tensor:
    """The normalised temperature-scaled cross entropy of SimCLR (Chen et al., 2020).

    Args:
        projected: (2 B, D), two views of each of B images: those of image i are rows i and B + i.
        temperature: divides the cosines.

    Returns:
        The mean, over the 2 B views, of -log of the softmax share of the other view among all other rows.
    """
    rows = functional.normalize(projected.float(), dim=1)
    similarity = (rows @ rows.T / temperature).fill_diagonal_(-torch.inf)
    partner = torch.arange(len(rows), device=rows.device).roll(len(rows) // 2)
    return functional.cross_entropy(similarity, partner)


def _unit(features: Tensor) -> Tensor:
    """Each image's (F, G, G) features as a vector of length 1."""
    return functional.normalize(features.float().flatten(1), dim=1).view_as(features)
