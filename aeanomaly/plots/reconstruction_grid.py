"""A grid of images beside what the net makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor
from torchvision.utils import make_grid

from aeanomaly.plots.kinds import ANOMALY_COLOUR, NORMAL_COLOUR

_ROWS = ("input", "reconstruction", "squared error")
_COLOURS = "magma"
_TILE = 0.75  # inches, width of a tile
_LINE = 0.22  # height of a line of text, in widths of a tile


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
    maps = torch.from_numpy(colormaps[_COLOURS]((errors / brightest).numpy())[..., :3]).permute(0, 3, 1, 2)
    images = [image.nan_to_num().clamp(0, 1).expand(-1, 3, -1, -1) for image in (targets, reconstructions)]
    # One picture on one pair of axes: axes for each tile would take seconds to draw. A tile has a white margin.
    margin = max(1, targets.shape[2] // 20)
    tiles = make_grid(torch.cat([*images, maps]), nrow=len(columns), padding=2 * margin, pad_value=1.0)
    picture = tiles[:, margin:-margin, margin:-margin].permute(1, 2, 0).numpy()
    height, width = picture.shape[0] / len(_ROWS), picture.shape[1] / len(columns)
    lines = {"index": [str(column.index) for column in columns], **captions}
    tall = _TILE * (len(_ROWS) * height / width + _LINE * len(lines))
    figure = Figure(figsize=(_TILE * len(columns) + 2.1, tall + 0.4), layout="constrained")
    axes = figure.subplots()
    axes.imshow(picture, interpolation="nearest")
    _label(axes, columns, lines, height, width)
    # Beside the error maps, and as high as they are.
    place = (width * (len(columns) + 0.1), 2 * height, 0.15 * width, height)
    scale = axes.inset_axes(place, transform=axes.transData)
    figure.colorbar(ScalarMappable(Normalize(0, brightest), _COLOURS), cax=scale)
    scale.tick_params(labelsize=7)
    return figure


def _label(
    axes: Axes, columns: Sequence[Column], lines: Mapping[str, Sequence[str]], height: float, width: float
) -> None:
    """Names of rows and lines on the left, the lines above the images, and below these the kind of each."""
    heights = [-width * _LINE * (len(lines) - number - 0.5) for number in range(len(lines))]
    centres = [width * (number + 0.5) for number in range(len(columns))]
    for y, texts in zip(heights, lines.values(), strict=True):
        for x, text in zip(centres, texts, strict=True):
            axes.text(x, y, text, ha="center", va="center", fontsize=7)
    middles = [height * (row + 0.5) for row in range(len(_ROWS))]
    axes.set_yticks(heights + middles, [*lines, *_ROWS], fontsize=8)
    axes.set_ylim(height * len(_ROWS), -width * _LINE * len(lines))
    axes.tick_params(length=0, labeltop=True, labelbottom=False)  # first: the labels above are others than those below
    axes.set_xticks(centres, ["anomaly" if column.is_anomaly else "normal" for column in columns], fontsize=8)
    for label, column in zip(axes.get_xticklabels(), columns, strict=True):
        label.set_color(ANOMALY_COLOUR if column.is_anomaly else NORMAL_COLOUR)
        label.set_fontweight("bold" if column.is_anomaly else "normal")
    axes.spines[:].set_visible(False)
