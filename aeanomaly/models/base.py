"""What every autoencoder offers, whatever its architecture."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn import functional

from aeanomaly.outputs import Output


class Autoencoder(nn.Module, ABC):
    """A net that compresses images to codes and reconstructs them.

    A new architecture defines `encode` and `decode`. One whose loss is more than the mean squared error (a variational
    or a denoising one) also overrides `training_loss`; one that compares something else than the image overrides
    `forward`.

    Attributes:
        image_shape: (C, H, W) of the images that the net takes, or None if it takes any.
    """

    image_shape: tuple[int, int, int] | None = None

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """(B, C, H, W) images in [0, 1] to (B, D) codes."""

    @abstractmethod
    def decode(self, code: Tensor) -> Tensor:
        """(B, D) codes to (B, C, H, W) reconstructions."""

    def forward(self, x: Tensor) -> Output:
        """Encode and decode (B, C, H, W) images."""
        code = self.encode(x)
        return Output(code=code, reconstruction=self.decode(code), target=x)

    def training_loss(self, x: Tensor) -> tuple[dict[str, Tensor], Output]:
        """The named terms of the training loss, whose sum is trained on, and the output for the same images.

        Args:
            x: (B, C, H, W) images in [0, 1].

        Returns:
            Scalars by name, averaged over images, and the `Output`.
        """
        output: Output = self(x)
        return {"reconstruction": functional.mse_loss(output.reconstruction, output.target)}, output
