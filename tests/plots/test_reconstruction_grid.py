"""The grid of reconstructions."""

from __future__ import annotations

import io
import math
import warnings

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from torch import Tensor

from aeanomaly.plots.reconstruction_grid import Column, reconstruction_grid


def grid(normal: list[tuple[Tensor, Tensor]], anomalous: list[tuple[Tensor, Tensor]]) -> Figure:
    columns = [Column(*pair, False, 7) for pair in normal] + [Column(*pair, True, 8) for pair in anomalous]
    return reconstruction_grid(columns, {"class": ["3"] * len(columns)})


def tiles_of(figure: Figure, columns: int) -> np.ndarray:
    """The 3 x columns tiles of a grid, (3, columns, H, W, 3), with their white frames."""
    picture = np.asarray(figure.axes[0].images[0].get_array())
    height, width = picture.shape[0] // 3, picture.shape[1] // columns
    return picture.reshape(3, height, columns, width, 3).swapaxes(1, 2)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_grid_shows_input_reconstruction_and_error_of_every_image(channels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    pairs = [(*torch.rand(2, channels, 8, 6, generator=generator),) for _ in range(5)]
    figure = grid(pairs[:2], pairs[2:])
    figure.savefig(io.BytesIO())
    kinds = figure.axes[0].get_xticklabels()
    assert [label.get_text() for label in kinds] == ["normal"] * 2 + ["anomaly"] * 3
    assert len({to_hex(label.get_color()) for label in kinds}) == len({label.get_fontweight() for label in kinds}) == 2
    tiles = tiles_of(figure, 5)[:, :, 1:-1, 1:-1]
    for column, images in enumerate(pairs):
        for row, image in enumerate(images):
            expected = image.expand(3, -1, -1).permute(1, 2, 0)
            np.testing.assert_allclose(tiles[row, column], expected, rtol=1e-6)
    # Error maps can be compared only on one scale: their brightness must follow the error over all images.
    errors = np.stack([((target - reconstruction) ** 2).mean(0) for target, reconstruction in pairs])
    brightness = tiles[2].sum(-1)
    order = errors.ravel().argsort()
    assert (np.diff(brightness.ravel()[order]) >= -0.02).all()
    assert brightness.max() > 2.5 > 0.1 > brightness.min()


@pytest.mark.parametrize("kind", ["normal", "anomaly"])
def test_a_grid_of_one_kind_and_a_perfect_or_broken_reconstruction(kind: str) -> None:
    perfect = (torch.ones(1, 8, 8), torch.ones(1, 8, 8))
    broken = (torch.ones(1, 8, 8), torch.full((1, 8, 8), math.nan))
    for pairs in ([perfect], [broken], [perfect, broken]):
        figure = grid(pairs if kind == "normal" else [], pairs if kind == "anomaly" else [])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            figure.savefig(io.BytesIO())
        assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == [kind] * len(pairs)


def test_every_image_has_its_index_class_and_scores_above_it() -> None:
    images = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    columns = [Column(images[0], images[1], False, 12), Column(images[1], images[0], True, 5)]
    figure = reconstruction_grid(columns, {"class": ["3", "0"], "kmeans score": ["1.5", "20"]})
    axes = figure.axes[0]
    figure.savefig(io.BytesIO())
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["index", "class", "kmeans score", "input", "reconstruction", "squared error"]
    written = {(round(text.get_position()[0]), text.get_position()[1]): text.get_text() for text in axes.texts}
    lines = [[text for (_, y), text in sorted(written.items()) if y == height] for height in axes.get_yticks()[:3]]
    assert lines == [["12", "5"], ["3", "0"], ["1.5", "20"]]
    assert all(y < 0 for _, y in written)  # above the images


def test_the_colours_of_the_error_have_a_scale() -> None:
    target, reconstruction = torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)
    reconstruction[0, 2, 3] = 0.5
    figure = grid([(target, reconstruction)], [])
    figure.savefig(io.BytesIO())
    (scale,) = figure.axes[0].child_axes
    assert scale.get_ylim() == (0, 0.25)
