"""A net that learns nothing worth mentioning: what scores find in images, or in fixed features, without training."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from aeanomaly.errors import UserError
from aeanomaly.models.base import Autoencoder, known_shape


class Untrained(Autoencoder):
    """Hands images, and fixed features of them, to the scores as they are, so that one sees what training adds.

    Scores read ``target`` (B, C, H, W), the image itself, or ``features.front`` (B, ...), what the front end makes of
    it. The code is a thumbnail of the image, for the Projector. The reconstruction is the same image whatever the code;
    it is the only parameter, so that an ordinary fit has something to do, and tends to the mean image. ``val/loss`` is
    the mean squared difference from it, which says nothing of scores that read something else.

    Args:
        image_shape: (C, H, W) of the images; the command line puts that of the data where it is null.
        front: (B, C, H, W) images to (B, ...) features, such as
            `aeanomaly.models.oriented_gradients.OrientedGradients`; it is fixed. None for images alone.
        thumbnail: S, height and width of the thumbnail.

    Raises:
        UserError: if the thumbnail has no pixel, or there is no ``image_shape``.
    """

    def __init__(
        self, image_shape: tuple[int, int, int] | None = None, front: nn.Module | None = None, thumbnail: int = 4
    ) -> None:
        super().__init__()
        if thumbnail < 1:
            raise UserError(f"model.net: Untrained needs {thumbnail=} of at least 1")
        self.image_shape, self.thumbnail = known_shape(image_shape), thumbnail
        self.mean = nn.Parameter(torch.full(self.image_shape, 0.5))
        self.front = front
        if front is not None and any(True for _ in front.parameters()):
            self.freeze("front")

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, H, W) images to (B, C S S) thumbnails."""
        return functional.adaptive_avg_pool2d(x, self.thumbnail).flatten(1)

    def encode_layers(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """As `encode`, with the features of the front end."""
        return self.encode(x), {} if self.front is None else {"front": self.front(x)}

    def decode(self, code: Tensor) -> Tensor:
        """The same (C, H, W) image for each of B codes."""
        return self.mean.expand(code.shape[0], *self.mean.shape)
