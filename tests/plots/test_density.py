"""The densities of normal and anomalous scores."""

from __future__ import annotations

import io
import math
import warnings

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.integrate import trapezoid
from torch import Tensor

from aeanomaly.plots.density import density_figure

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
        "threshold 35",
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
    assert names == drawn + ["threshold 35"] * len(thresholds)


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


def test_a_name_says_more_than_its_value() -> None:
    assert labels(density_figure("reconstruction", errors(), NONE, {"fixed": 35.0}))[1:] == ["threshold fixed = 35"]


@pytest.mark.parametrize("group", [0, 1], ids=["normal", "anomalous"])
def test_a_density_runs_out_on_both_sides_and_has_an_area_of_one(group: int) -> None:
    # Evenly spread scores: the density is as high at the ends as in the middle.
    scores = torch.linspace(40, 60, 500)
    figure = density_figure("reconstruction", *((scores, NONE) if group == 0 else (NONE, scores)), {})
    x, density = (np.asarray(data) for data in figure.axes[0].lines[0].get_data())
    assert max(density[0], density[-1]) < 0.02 * density.max()
    assert trapezoid(density, x) == pytest.approx(1, abs=0.01)


def test_a_score_that_is_never_negative_has_no_density_below_zero() -> None:
    scores = torch.linspace(0, 10, 500)
    figure = density_figure("kmeans", scores, NONE, {})
    x, density = (np.asarray(data) for data in figure.axes[0].lines[0].get_data())
    assert not density[x < 0].any()
    assert density[np.searchsorted(x, 0)] > 0.9 * density.max()  # as high there as it is: nothing is lost
    assert trapezoid(density, x) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("noise", [0.0, 1e-6, 1e-4])
@pytest.mark.parametrize("value", [50.0, 0.0, 1e-3])
def test_a_collapsed_score_has_a_readable_axis(value: float, noise: float) -> None:
    scores = value * (1 + noise * torch.randn(300, generator=torch.Generator().manual_seed(0)))
    figure = density_figure("kmeans", scores, scores[:20], {"alarm5": value})
    assert len(labels(figure)) == 3
    axes = figure.axes[0]
    for axis in (axes.xaxis, axes.yaxis):
        assert axis.get_major_formatter().get_offset() == ""  # such as 1e16, or +5e1
    low, high = axes.get_xlim()
    assert low < value < high
    assert high - low >= 1e-4 * value


def test_the_kinds_differ_in_more_than_colour() -> None:
    figure = density_figure("kmeans", errors(), errors(100, 80), {})
    normal, anomalous = figure.axes[0].lines
    assert normal.get_linestyle() != anomalous.get_linestyle()
    assert [area.get_hatch() or "" for area in figure.axes[0].collections] == ["", "////"]


@pytest.mark.parametrize("count", [300, 5000])
def test_one_score_beside_many_equal_ones_neither_breaks_nor_stretches_the_figure(count: int) -> None:
    figure = density_figure("kmeans", torch.cat([torch.full((count,), 50.0), torch.tensor([1e6])]), errors(), {})
    assert labels(figure)[0] == f"normal ({count + 1:,}), too alike for a curve"
    assert figure.axes[0].get_xlim()[1] < 200
