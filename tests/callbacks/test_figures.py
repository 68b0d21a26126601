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

from aeanomaly.callbacks.density import density_figure
from aeanomaly.callbacks.reconstructions import reconstruction_grid

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


@pytest.mark.parametrize("channels", [1, 3])
def test_the_grid_shows_input_reconstruction_and_error_of_every_image(channels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    pairs = [(*torch.rand(2, channels, 8, 6, generator=generator),) for _ in range(5)]
    figure = reconstruction_grid(pairs[:2], pairs[2:])
    figure.savefig(io.BytesIO())
    grid = np.asarray(figure.axes).reshape(3, 5)
    assert [axes.get_title() for axes in grid[0]] == ["normal"] * 2 + ["anomaly"] * 3
    for (target, reconstruction), column in zip(pairs, grid.T, strict=True):
        shown = [np.asarray(axes.images[0].get_array()) for axes in column]
        for found, image in zip(shown, (target, reconstruction), strict=False):
            np.testing.assert_array_equal(found.reshape(8, 6, channels), image.permute(1, 2, 0))
        np.testing.assert_allclose(shown[2], ((target - reconstruction) ** 2).mean(0), rtol=1e-5)
    # Error maps can be compared only on one scale.
    assert len({axes.images[0].get_clim() for axes in grid[2]}) == 1


@pytest.mark.parametrize("kind", ["normal", "anomaly"])
def test_a_grid_of_one_kind_and_a_perfect_or_broken_reconstruction(kind: str) -> None:
    perfect = (torch.ones(1, 8, 8), torch.ones(1, 8, 8))
    broken = (torch.ones(1, 8, 8), torch.full((1, 8, 8), math.nan))
    for pairs in ([perfect], [broken], [perfect, broken]):
        figure = reconstruction_grid(pairs if kind == "normal" else [], pairs if kind == "anomaly" else [])
        figure.savefig(io.BytesIO())
        assert [axes.get_title() for axes in figure.axes[: len(pairs)]] == [kind] * len(pairs)
