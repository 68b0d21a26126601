"""A grid of images beside what the net makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from aeanomaly.plots.image_grid import coloured, image_grid


@dataclass(frozen=True, eq=False)
class Column:
    """One image of the grid: (C, H, W) target and reconstruction, C being 1 or 3, values in [0, 1]."""

    target: Tensor
    reconstruction: Tensor
    is_anomaly: bool
    index: int  # of the image in its split


def reconstruction_grid(columns: Sequence[Column], captions: Mapping[str, Sequence[str]]) -> Figure:
    """Three rows (input, reconstruction, squared error) of images, with a scale for the error.

    Args:
        columns: the images, in the order in which they are shown; one or more, all of one size.
        captions: what stands above the images, a line for each name with one text per image.
    """
    targets = torch.stack([column.target for column in columns])
    reconstructions = torch.stack([column.reconstruction for column in columns])
    errors = (targets - reconstructions).square().mean(1)
    brightest = float(errors.nan_to_num(posinf=0.0).max()) or 1.0  # one scale, so that maps can be compared
    rows = {"input": targets, "reconstruction": reconstructions, "squared error": coloured(errors, 0, brightest)}
    lines = {"index": [str(column.index) for column in columns], **captions}
    return image_grid(rows, [column.is_anomaly for column in columns], lines, (0, brightest))
