"""A grid of images beside what the net makes of them."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor


def reconstruction_grid(normal: list[tuple[Tensor, Tensor]], anomalous: list[tuple[Tensor, Tensor]]) -> Figure:
    """Three rows (input, reconstruction, squared error) with the normal images on the left, the anomalous on the right.

    Args:
        normal: pairs of (C, H, W) target and reconstruction, C being 1 or 3, values in [0, 1].
        anomalous: likewise.
    """
    pairs = normal + anomalous
    errors = [(target - reconstruction).square().mean(0) for target, reconstruction in pairs]
    brightest = max(1e-12, float(torch.stack(errors).nan_to_num().max()))  # one scale, so that maps can be compared
    rows = [
        [_colours(target) for target, _ in pairs],
        [_colours(reconstruction) for _, reconstruction in pairs],
        [colormaps["magma"]((error / brightest).numpy())[..., :3] for error in errors],
    ]
    # One picture on one pair of axes: axes for each tile would take seconds to draw.
    tiles = [np.concatenate([_framed(tile) for tile in row], axis=1) for row in rows]
    figure = Figure(figsize=(0.75 * len(pairs) + 1.2, 2.7), layout="constrained")
    axes = figure.subplots()
    axes.imshow(np.concatenate(tiles, axis=0), interpolation="nearest")
    height, width = tiles[0].shape[0], tiles[0].shape[1] / len(pairs)
    axes.set_yticks(
        [height * (row + 0.5) for row in range(3)], ["input", "reconstruction", "squared error"], fontsize=8
    )
    kinds = ["normal"] * len(normal) + ["anomaly"] * len(anomalous)
    axes.set_xticks([width * (column + 0.5) for column in range(len(pairs))], kinds, fontsize=8)
    for label, kind in zip(axes.get_xticklabels(), kinds, strict=True):
        label.set_color("#d62728" if kind == "anomaly" else "black")
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    return figure


def _colours(image: Tensor) -> NDArray[np.float64]:
    """(C, H, W) to (H, W, 3) in [0, 1]."""
    return image.nan_to_num().clamp(0, 1).expand(3, -1, -1).permute(1, 2, 0).double().numpy()


def _framed(tile: NDArray[np.float64]) -> NDArray[np.float64]:
    """A white margin of a pixel or more around an (H, W, 3) picture."""
    margin = max(1, tile.shape[0] // 20)
    return np.pad(tile, ((margin, margin), (margin, margin), (0, 0)), constant_values=1.0)
