"""An autoencoder of fixed features, trained by their reconstruction only."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from aeanomaly.errors import UserError
from aeanomaly.models.base import Autoencoder
from aeanomaly.models.front_end import FrontEnd
from aeanomaly.models.oriented_gradients import OrientedGradients
from aeanomaly.outputs import Output

_GAIN = 20.0  # the net sees features of this length; it was tried with oriented gradients


class FeatureAutoencoder(Autoencoder):
    """Restores the features that a fixed front end finds in an image, instead of its pixels (Shi et al., DFR, 2021).

    With views it is a denoising autoencoder (Vincent et al., 2008): in training it restores the features of the image
    from those of a changed view of it. The loss is 1 - cosine of restored and true features.

    The net takes images of any size and number of channels that the front end takes. Codes and reconstructions are of
    features, not of pixels: target and reconstruction are (B, F, G, G) of length 1, so that the squared error summed
    over all of them is twice the loss, and a map of errors has G x G places. Scores may read, besides ``code``,

    - ``features.grid`` (B, F, G, G): what the front end finds, whose length tells contrast, for scores that say where;
    - ``features.pooled`` (B, F): root mean square of each feature over the image, for what has no fixed place;
    - ``features.layer1`` (B, 9 C1): the first layer, averaged to 3x3 places;
    - ``features.layer2`` (B, hidden): the layer before the code.

    Args:
        front: (B, C, H, W) images to (B, F, G, G) features; None for oriented gradients. It is fixed.
        views: modules that change images at random, applied one after the other; None for images as they are.
        channels: of the two convolutions, C1 and C2.
        hidden: width of the layer before the code.
        code_size: D.

    Raises:
        UserError: if a size is not positive.
    """

    def __init__(
        self,
        front: FrontEnd | None = None,
        views: Sequence[nn.Module] | None = None,
        channels: tuple[int, int] = (64, 128),
        hidden: int = 512,
        code_size: int = 128,
    ) -> None:
        super().__init__()
        if min(*channels, hidden, code_size) < 1:
            raise UserError(f"model.net: sizes must be at least 1, got {channels=}, {hidden=}, {code_size=}")
        self.front = OrientedGradients() if front is None else front
        if any(True for _ in self.front.parameters()):
            self.freeze("front")
        self.views = nn.Sequential(*(views or []))
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
        self.add_head(code_size)
        self.decoder = nn.Sequential(
            nn.Linear(code_size, hidden),
            nn.ReLU(),
            nn.Linear(hidden, features * grid**2),
            nn.Unflatten(1, (features, grid, grid)),
        )
        # With the channels of a place side by side a step takes some hundredths less time on a CPU, and in bf16 more
        # of it less: docs/performance.md has the table.
        self.to(memory_format=torch.channels_last)

    def add_head(self, code_size: int) -> None:
        """Make further layers on codes, in a subclass. They are made before the decoder, which draws after them."""

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, H, W) images to (B, D) codes."""
        code: Tensor = self.to_code(self.layer2(self._first(self.target(x))))
        return code

    def decode(self, code: Tensor) -> Tensor:
        """(B, D) codes to (B, F, G, G) features of length 1."""
        return _unit(self.decoder(code))

    def target(self, x: Tensor) -> Tensor:
        """(B, C, H, W) images to their (B, F, G, G) features, of length 1."""
        return _unit(self.front(x))

    def forward(self, x: Tensor) -> Output:
        """Encode and decode (B, C, H, W) images, without changing them."""
        return self._of_features(self.front(x))

    def again(self, reconstruction: Tensor) -> Output:
        """As `forward`, for the (B, F, G, G) features of a reconstruction, whose length is 1 for every score."""
        return self._of_features(reconstruction)

    def _first(self, target: Tensor) -> Tensor:
        """(B, C1, G, G) outputs of the first layer, whose weights may be of another precision than the features."""
        layer1: Tensor = self.layer1((target * _GAIN).to(next(self.layer1.parameters()).dtype))
        return layer1

    def _of_features(self, found: Tensor) -> Output:
        target = _unit(found)
        layer1 = self._first(target)
        layer2 = self.layer2(layer1)
        code = self.to_code(layer2)
        features = {
            "grid": found,
            "pooled": found.square().mean((2, 3)).sqrt(),
            "layer1": functional.adaptive_avg_pool2d(layer1, 3).flatten(1),
            "layer2": layer2,
        }
        return Output(code=code, reconstruction=self.decode(code), target=target, features=features)

    def loss_terms(self, output: Output) -> dict[str, Tensor]:
        """1 - cosine of restored and true features."""
        return {"reconstruction": (1 - (output.reconstruction * output.target).flatten(1).sum(1)).mean()}

    def training_loss(self, x: Tensor) -> tuple[dict[str, Tensor], Output]:
        """The term for the unchanged images and their output; in training for views of them, without features."""
        x = self.enough(x)
        if self.training and len(self.views):
            code = self.encode(self.views(x))
            output = Output(code, self.decode(code), self.target(x))
        else:
            output = self(x)
        return self.loss_terms(output), output


def _unit(features: Tensor) -> Tensor:
    """Each image's (F, G, G) features as a vector of length 1."""
    return functional.normalize(features.float().flatten(1), dim=1).view_as(features)
