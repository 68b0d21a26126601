"""What nets over other nets need to know of these."""

from __future__ import annotations

import torch

from aeanomaly.errors import UserError
from aeanomaly.models.base import Autoencoder


@torch.no_grad()
def shape_of_codes(net: Autoencoder) -> tuple[int, ...]:
    """The shape of the code of one image, (D,) or (C', H', W'), found by encoding a black one.

    Raises:
        UserError: if the net takes images of any size, or reconstructs something else than the image.
    """
    if net.image_shape is None:
        raise UserError("model.net: the inner net must have an image_shape, so that its codes have a known size")
    training = net.training
    net.eval()
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    output = net(torch.zeros(1, *net.image_shape, device=device))
    net.train(training)
    if output.reconstruction.shape[1:] != torch.Size(net.image_shape):
        raise UserError(
            "model.net: the inner net must reconstruct the image, and its reconstruction is "
            f"{list(output.reconstruction.shape[1:])} for images of {list(net.image_shape)}"
        )
    return tuple(output.code.shape[1:])
