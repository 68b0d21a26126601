"""Where a score finds images anomalous, drawn over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from aeanomaly.plots.image_grid import coloured, image_grid

_OPACITY = 0.6  # of the map over the image


@dataclass(frozen=True, eq=False)
class Mapped:
    """One image to be shown with maps of it.

    Attributes:
        image: (C, H, W), C being 1 or 3, values in [0, 1].
        maps: (H, W) by name of the score.
        mask: (H, W), not 0 where the image is anomalous; None if nobody knows.
        is_anomaly: whether the image is.
        index: of the image in its split.
    """

    image: Tensor
    maps: Mapping[str, Tensor]
    mask: Tensor | None
    is_anomaly: bool
    index: int


def anomaly_maps(columns: Sequence[Mapped], score: str, captions: Mapping[str, Sequence[str]]) -> Figure:
    """Rows of images, of masks where there are some, and of the maps of a score over the images, on one scale.

    Args:
        columns: the images, in the order in which they are shown; one or more, all of one size.
        score: whose maps are shown.
        captions: what stands above the images, a line for each name with one text per image.
    """
    images = torch.stack([column.image for column in columns])
    maps = torch.stack([column.maps[score] for column in columns])
    finite = maps[maps.isfinite()]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    high = high if high > low else low + 1
    rows = {"input": images}
    masks = [column.mask for column in columns if column.mask is not None]
    if len(masks) == len(columns):
        rows["anomalous places"] = (torch.stack(masks) != 0).float().unsqueeze(1)
    grey = images.nan_to_num().mean(1, keepdim=True)
    rows[f"{score} map"] = _OPACITY * coloured(maps, low, high) + (1 - _OPACITY) * grey
    lines = {"index": [str(column.index) for column in columns], **captions}
    return image_grid(rows, [column.is_anomaly for column in columns], lines, (low, high), tile=1.1)
