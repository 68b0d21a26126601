"""Heat over a picture."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from torch import Tensor

_COLOURS = "turbo"
_OPACITY = 0.6  # of the heat from two thirds of the scale on; below it fades away


def overlay(image: Tensor, heat: Tensor) -> NDArray[np.uint8]:
    """(H, W, 3) of a picture with colours over it, from none over blue and green to red.

    Args:
        image: (C, H, W), C being 1 or 3; uint8, or floating-point in [0, 1].
        heat: (H, W) in [0, 1]; where it is 0, the picture is as it was.
    """
    levels = image.numpy().astype(np.float32) * (1.0 if image.is_floating_point() else 1 / 255)
    picture = np.moveaxis(np.broadcast_to(levels, (3, *levels.shape[1:])), 0, -1)
    opacity = _OPACITY * np.minimum(1, 1.5 * heat.numpy())[..., None]
    mixed = opacity * colormaps[_COLOURS](heat.numpy())[..., :3] + (1 - opacity) * picture
    drawn: NDArray[np.uint8] = np.rint(mixed.clip(0, 1) * 255).astype(np.uint8)
    return drawn
