"""Rows of pictures, a column for each image, with what is known of it above and below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor
from torchvision.utils import make_grid

from aeanomaly.plots.kinds import ANOMALY_COLOUR, NORMAL_COLOUR

_COLOURS = "magma"
_LINE = 0.165  # inches, height of a line of text


def coloured(values: Tensor, low: float, high: float) -> Tensor:
    """(N, H, W) to the (N, 3, H, W) colours that the scale of `image_grid` explains."""
    colours = colormaps[_COLOURS](((values - low) / (high - low)).numpy())
    return torch.from_numpy(colours[..., :3]).permute(0, 3, 1, 2)


def image_grid(
    rows: Mapping[str, Tensor],
    is_anomaly: Sequence[bool],
    captions: Mapping[str, Sequence[str]],
    limits: tuple[float, float],
    tile: float = 0.75,
) -> Figure:
    """Rows of (N, C, H, W) pictures by name, C being 1 or 3, with a scale of colours beside the last row.

    Args:
        rows: from the top; values beyond [0, 1] are cut off.
        is_anomaly: of each of the N images, one or more.
        captions: what stands above the images, a line for each name with one text per image.
        limits: values at both ends of the scale.
        tile: width of a picture in inches.
    """
    pictures = [row.nan_to_num().clamp(0, 1).expand(-1, 3, -1, -1) for row in rows.values()]
    columns = len(is_anomaly)
    # One picture on one pair of axes: axes for each tile would take seconds to draw. A tile has a white margin.
    margin = max(1, pictures[0].shape[2] // 20)
    tiles = make_grid(torch.cat(pictures), nrow=columns, padding=2 * margin, pad_value=1.0)
    picture = tiles[:, margin:-margin, margin:-margin].permute(1, 2, 0).numpy()
    height, width = picture.shape[0] / len(rows), picture.shape[1] / columns
    line = width * _LINE / tile
    tall = tile * len(rows) * height / width + _LINE * len(captions)
    figure = Figure(figsize=(tile * columns + 2.1, tall + 0.4), layout="constrained")
    axes = figure.subplots()
    axes.imshow(picture, interpolation="nearest")
    _label(axes, list(rows), is_anomaly, captions, (height, width, line))
    # Beside the last row, and as high as it is.
    place = (width * (columns + 0.1), (len(rows) - 1) * height, 0.15 * width, height)
    scale = axes.inset_axes(place, transform=axes.transData)
    figure.colorbar(ScalarMappable(Normalize(*limits), _COLOURS), cax=scale)
    scale.tick_params(labelsize=7)
    return figure


def _label(
    axes: Axes,
    rows: Sequence[str],
    is_anomaly: Sequence[bool],
    captions: Mapping[str, Sequence[str]],
    sizes: tuple[float, float, float],
) -> None:
    """Names of rows and lines on the left, the lines above the images, and below these the kind of each.

    ``sizes`` are height and width of a tile and height of a line, in pixels.
    """
    height, width, line = sizes
    heights = [-line * (len(captions) - number - 0.5) for number in range(len(captions))]
    centres = [width * (number + 0.5) for number in range(len(is_anomaly))]
    for y, texts in zip(heights, captions.values(), strict=True):
        for x, text in zip(centres, texts, strict=True):
            axes.text(x, y, text, ha="center", va="center", fontsize=7)
    middles = [height * (row + 0.5) for row in range(len(rows))]
    axes.set_yticks(heights + middles, [*captions, *rows], fontsize=8)
    axes.set_ylim(height * len(rows), -line * len(captions))
    axes.tick_params(length=0, labeltop=True, labelbottom=False)  # first: the labels above are others than those below
    axes.set_xticks(centres, ["anomaly" if anomalous else "normal" for anomalous in is_anomaly], fontsize=8)
    for label, anomalous in zip(axes.get_xticklabels(), is_anomaly, strict=True):
        label.set_color(ANOMALY_COLOUR if anomalous else NORMAL_COLOUR)
        label.set_fontweight("bold" if anomalous else "normal")
    axes.spines[:].set_visible(False)
