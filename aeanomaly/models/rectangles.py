"""Random rectangles in a batch of images, on the device of the images."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Rectangles(NamedTuple):
    """One in each of B images, in pixels, (B,) int64 each."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor

    def mask(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) bool, whether a pixel of the images lies in its rectangle."""
        rows, columns = torch.arange(x.shape[2], device=x.device), torch.arange(x.shape[3], device=x.device)
        inside_rows = (rows >= self.top[:, None]) & (rows < (self.top + self.height)[:, None])
        inside_columns = (columns >= self.left[:, None]) & (columns < (self.left + self.width)[:, None])
        return (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]


def up_to(greatest: Tensor) -> Tensor:
    """(B,) whole numbers from 0 to ``greatest``, each drawn uniformly."""
    # The minimum is for what float32 rounds up to the number after the greatest.
    return (torch.rand(greatest.shape, device=greatest.device) * (greatest + 1)).long().minimum(greatest)


def moved(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Images in which a pixel shows what lies ``down`` rows below and ``right`` columns beside it, round the border."""
    height, width = x.shape[2:]
    rows = (torch.arange(height, device=x.device) + down[:, None]) % height
    columns = (torch.arange(width, device=x.device) + right[:, None]) % width
    places = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)
    return x.flatten(2).gather(2, places[:, None].expand(-1, x.shape[1], -1)).view_as(x)
