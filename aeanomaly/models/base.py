"""What every autoencoder offers, whatever its architecture."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import Self

from aeanomaly.errors import UserError
from aeanomaly.outputs import Described, Output

_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def known_shape(image_shape: tuple[int, int, int] | None) -> tuple[int, int, int]:
    """The same, for a net that takes images of one shape only.

    Raises:
        UserError: if it is None: the command line replaces that by the shape of the data, and nobody has.
    """
    if image_shape is None:
        raise UserError("model.net.image_shape: give channels, height and width of the images, such as (1, 28, 28)")
    channels, height, width = image_shape
    return channels, height, width


class Autoencoder(Described, nn.Module, ABC):
    """A net that compresses images to codes and reconstructs them.

    A new architecture defines `encode` and `decode`; `encode_layers` too if it offers inner activations to scores. One
    that trains on more than the mean squared error (a variational net) overrides `loss_terms`, or `training_loss` if it
    trains on other images than it is given (a denoising net); one that compares something else than the image overrides
    `target`, and `again`. A net that wraps another one calls `encode_layers`, `decode`, `target` and `loss_terms` of
    that.

    Attributes:
        image_shape: (C, H, W) of the images that the net takes, or None if it takes any.
    """

    image_shape: tuple[int, int, int] | None = None
    _frozen: tuple[str, ...] = ()

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """(B, C, H, W) images in [0, 1] to codes, (B, D) or (B, C', H', W')."""

    @abstractmethod
    def decode(self, code: Tensor) -> Tensor:
        """Codes to (B, C, H, W) reconstructions."""

    def encode_layers(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """As `encode`, with the inner activations on the way by name, each (B, ...): none unless a net offers them."""
        return self.encode(x), {}

    def forward(self, x: Tensor) -> Output:
        """Encode and decode (B, C, H, W) images."""
        code, features = self.encode_layers(x)
        return Output(code=code, reconstruction=self.decode(code), target=self.target(x), features=features)

    def again(self, reconstruction: Tensor) -> Output:
        """What the net makes of its own reconstruction (RaPP): as `forward`, unless it is no image."""
        output: Output = self(reconstruction)
        return output

    def target(self, x: Tensor) -> Tensor:
        """What reconstructions of (B, C, H, W) images are compared with: the images, unless a net says otherwise."""
        return x

    def loss_terms(self, output: Output) -> dict[str, Tensor]:
        """The named terms of the training loss of an output that `forward` made: scalars, averaged over images."""
        return {"reconstruction": functional.mse_loss(output.reconstruction, output.target)}

    def training_loss(self, x: Tensor) -> tuple[dict[str, Tensor], Output]:
        """The named terms of the training loss, whose sum is trained on, and the output for the same images.

        Takes (B, C, H, W) images in [0, 1]. A term is a scalar, averaged over images. Random views of the images
        (noise, shifts) are made here, on the device. Validation calls it too, with a fixed seed and in evaluation mode.
        A last batch of one image may be trained on twice, see `enough`.
        """
        output: Output = self(self.enough(x))
        return self.loss_terms(output), output

    def enough(self, x: Tensor) -> Tensor:
        """The images; a single one twice if they are to be normalised over the batch, which may need two values."""
        alone = len(x) == 1 and any(isinstance(part, _BATCH_NORM) and part.training for part in self.modules())
        return torch.cat([x, x]) if alone else x

    def freeze(self, name: str) -> None:
        """Fix a part of the net, such as a front end: it is not trained and stays in evaluation mode.

        Args:
            name: the attribute that holds the part.
        """
        self.get_submodule(name).requires_grad_(False).eval()
        self._frozen = (*self._frozen, name)

    def train(self, mode: bool = True) -> Self:
        """As `torch.nn.Module.train`, apart from frozen parts."""
        super().train(mode)
        for name in self._frozen:
            self.get_submodule(name).eval()
        return self
