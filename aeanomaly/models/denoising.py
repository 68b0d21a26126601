"""The denoising autoencoder, over any net and any corruption."""

from __future__ import annotations

from torch import Tensor, nn

from aeanomaly.models.base import Autoencoder
from aeanomaly.outputs import Output


class DenoisingAutoencoder(Autoencoder):
    """Trains a net to restore the clean image from a corrupted one (Vincent et al., 2008).

    The loss is that of the net's `loss_terms`, with the clean image as the target, so that a variational or
    memory-augmented net may be trained so too; a `training_loss` of its own is not used. Validation, test and use see
    images as they are: the validation loss is that of clean images.

    Args:
        net: encodes and decodes images; the names of its features stay.
        corruption: what is done to the images of a training step: one of `aeanomaly.models.corruptions`, or a view of
            `aeanomaly.models.views`.
    """

    def __init__(self, net: Autoencoder, corruption: nn.Module) -> None:
        super().__init__()
        self.net, self.corruption, self.image_shape = net, corruption, net.image_shape

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, H, W) images to the codes of the net."""
        return self.net.encode(x)

    def encode_layers(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """As `encode`, with the features of the net."""
        return self.net.encode_layers(x)

    def decode(self, code: Tensor) -> Tensor:
        """Codes to (B, C, H, W) reconstructions."""
        return self.net.decode(code)

    def forward(self, x: Tensor) -> Output:
        """The output of the net for (B, C, H, W) images as they are, in training mode too."""
        output: Output = self.net(x)
        return output

    def target(self, x: Tensor) -> Tensor:
        """That of the net."""
        return self.net.target(x)

    def again(self, reconstruction: Tensor) -> Output:
        """That of the net."""
        return self.net.again(reconstruction)

    def loss_terms(self, output: Output) -> dict[str, Tensor]:
        """Those of the net."""
        return self.net.loss_terms(output)

    def training_loss(self, x: Tensor) -> tuple[dict[str, Tensor], Output]:
        """The terms of the net for corrupted images, compared with the clean ones, and the output for both."""
        x = self.enough(x)
        output = self(self.corruption(x) if self.training else x)
        output.target = self.target(x)
        return self.loss_terms(output), output
