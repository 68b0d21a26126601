"""What every autoencoder offers, whatever its architecture."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn import functional

from aeanomaly.outputs import Output


class Autoencoder(nn.Module, ABC):
    """A net that compresses images to codes and reconstructs them.

    A new architecture defines `encode` and `decode`. One whose loss is more than the mean squared error (a variational
    or a denoising one) also overrides `loss`; one that compares something else than the image overrides `forward`.

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

    def loss(self, x: Tensor) -> Tensor:
        """The training loss of a batch of (B, C, H, W) images, a scalar averaged over images and pixels."""
        return _mean_squared_error(self(x))

    def loss_and_output(self, x: Tensor) -> tuple[Tensor, Output]:
        """`loss` and `forward` of a batch; one pass through the net gives both, unless `loss` does something else."""
        if type(self).loss is not Autoencoder.loss:
            return self.loss(x), self(x)
        output: Output = self(x)
        return _mean_squared_error(output), output


def _mean_squared_error(output: Output) -> Tensor:
    return functional.mse_loss(output.reconstruction, output.target)
