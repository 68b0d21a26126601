"""The figures: densities of scores and the grid of reconstructions."""

from __future__ import annotations

import io
import math
import warnings

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from aeanomaly.plots.density import density_figure
from aeanomaly.plots.reconstruction_grid import reconstruction_grid

NONE, NAN = torch.empty(0), torch.full((20,), math.nan)


def errors(count: int = 300, around: float = 50.0) -> Tensor:
    return around + 10 * torch.randn(count, generator=torch.Generator().manual_seed(0))


def labels(figure: Figure) -> list[str]:
    """What the legend says of the lines, which are as many; also renders the figure without any warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO())
    names: list[str] = figure.axes[0].get_legend_handles_labels()[1]
    assert len(figure.axes[0].lines) == len(names)
    assert [text.get_text() for legend in figure.legends for text in legend.get_texts()] == names
    return names


def test_both_groups_and_every_threshold_are_drawn() -> None:
    figure = density_figure("kmeans", errors(3000), errors(100, 80), {"fpr5": 66.25, "35": 35.0})
    assert labels(figure) == [
        "normal (3,000)",
        "anomalous (100)",
        "threshold fpr5 = 66.25",
        "threshold 35 = 35",
    ]
    assert [line.get_xdata()[0] for line in figure.axes[0].lines[2:]] == [66.25, 35.0]
    assert "kmeans" in figure.axes[0].get_xlabel()


@pytest.mark.parametrize(
    ("normal", "anomalous", "drawn"),
    [
        (NONE, errors(), ["anomalous (300)"]),
        (errors(), NONE, ["normal (300)"]),
        (NONE, NONE, []),
        (NAN, errors(), ["anomalous (300)"]),
        (NAN, NAN, []),
        (torch.cat([NAN, errors()]), errors(), ["normal (320)", "anomalous (300)"]),
        (torch.full((9,), 50.0), errors(), ["normal (9), all equal", "anomalous (300)"]),
        (torch.full((9,), 50.0), torch.full((2,), 50.0), ["normal (9), all equal", "anomalous (2), all equal"]),
        (errors(1), NONE, ["normal (1), all equal"]),
    ],
)
@pytest.mark.parametrize("thresholds", [{}, {"35": 35.0}])
def test_groups_without_a_density_do_not_spoil_the_figure(
    normal: Tensor, anomalous: Tensor, drawn: list[str], thresholds: dict[str, float]
) -> None:
    names = labels(density_figure("reconstruction", normal, anomalous, thresholds))
    assert names == drawn + ["threshold 35 = 35"] * len(thresholds)


def test_a_threshold_that_was_not_fitted_is_left_out() -> None:
    assert labels(density_figure("kmeans", errors(), NONE, {"35": math.nan, "fpr5": 70.0}))[1:] == [
        "threshold fpr5 = 70"
    ]


def test_any_number_of_thresholds_is_drawn() -> None:
    assert len(labels(density_figure("kmeans", errors(), errors(), {str(i): 40.0 + i for i in range(7)}))) == 9


def test_a_few_extreme_scores_do_not_hide_the_rest() -> None:
    figure = density_figure("kmeans", torch.cat([errors(), torch.tensor([1e6])]), errors(), {})
    assert figure.axes[0].get_xlim()[1] < 200


@pytest.mark.parametrize("threshold", [5.0, 300.0])
def test_a_threshold_is_in_the_picture_wherever_it_lies(threshold: float) -> None:
    low, high = density_figure("reconstruction", errors(), errors(), {"x": threshold}).axes[0].get_xlim()
    assert low <= threshold <= high


def tiles_of(figure: Figure, columns: int) -> np.ndarray:
    """The 3 x columns tiles of a grid, (3, columns, H, W, 3), with their white frames."""
    picture = np.asarray(figure.axes[0].images[0].get_array())
    height, width = picture.shape[0] // 3, picture.shape[1] // columns
    return picture.reshape(3, height, columns, width, 3).swapaxes(1, 2)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_grid_shows_input_reconstruction_and_error_of_every_image(channels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    pairs = [(*torch.rand(2, channels, 8, 6, generator=generator),) for _ in range(5)]
    figure = reconstruction_grid(pairs[:2], pairs[2:])
    figure.savefig(io.BytesIO())
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["normal"] * 2 + ["anomaly"] * 3
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
        figure = reconstruction_grid(pairs if kind == "normal" else [], pairs if kind == "anomaly" else [])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            figure.savefig(io.BytesIO())
        assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == [kind] * len(pairs)
