"""The fully connected autoencoder of the study."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

from aeanomaly.errors import UserError
from aeanomaly.models.base import Autoencoder, known_shape


class DenseAutoencoder(Autoencoder):
    """Linear layers from pixels through ``hidden`` to the code, and back in reverse order.

    Such nets are Hinton and Salakhutdinov's (Science, 2006). An activation follows every layer but the last of the
    encoder (codes are unbounded) and the last of the decoder, which ends in a sigmoid because pixels lie in [0, 1]. The
    defaults are the study's 784-500-125-40-5. The activations after the hidden layers of the encoder are offered to
    scores as ``features.layer1``, ``features.layer2``, ..., each (B, width), for RaPP (Kim et al., 2020) and its like.

    Args:
        image_shape: (C, H, W) of the images; the command line puts that of the data where it is null.
        hidden: widths of the hidden layers of the encoder.
        code_size: D, the size of the code.
        activation: makes the activation between layers.

    Raises:
        UserError: if a size is not positive, or there is no ``image_shape``.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] | None = None,
        hidden: Sequence[int] = (500, 125, 40),
        code_size: int = 5,
        activation: Callable[[], nn.Module] = nn.Tanh,
    ) -> None:
        super().__init__()
        image_shape = known_shape(image_shape)
        widths = [math.prod(image_shape), *hidden, code_size]
        if min(*image_shape, *widths) < 1:
            raise UserError(f"model.net: all sizes must be at least 1, got {image_shape=}, {hidden=}, {code_size=}")
        self.image_shape = image_shape
        self.encoder = nn.Sequential(nn.Flatten(), *_stack(widths, activation))
        self.decoder = nn.Sequential(*_stack(widths[::-1], activation), nn.Sigmoid(), nn.Unflatten(1, image_shape))

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, H, W) images to (B, D) codes."""
        code: Tensor = self.encoder(x)
        return code

    def encode_layers(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """As `encode`, with the activation after each hidden layer, (B, width), as ``layer1``, ``layer2``, ..."""
        features = {}
        for position, layer in enumerate(self.encoder):  # flatten, linear, activation, linear, ..., linear
            x = layer(x)
            if position and position % 2 == 0:
                features[f"layer{position // 2}"] = x
        return x, features

    def decode(self, code: Tensor) -> Tensor:
        """(B, D) codes to (B, C, H, W) reconstructions in [0, 1]."""
        reconstruction: Tensor = self.decoder(code)
        return reconstruction


def _stack(widths: Sequence[int], activation: Callable[[], nn.Module]) -> list[nn.Module]:
    """Linear layers between successive widths, with an activation between layers but not after the last."""
    layers: list[nn.Module] = []
    for width, following in pairwise(widths):
        layers += [nn.Linear(width, following), activation()]
    return layers[:-1]
