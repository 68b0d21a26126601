"""The heat map and the mean ROC curve of a benchmark."""

from __future__ import annotations

import numpy as np
import pytest

from aeanomaly.plots.heat_map import heat_map
from aeanomaly.plots.roc import mean_roc


def test_heat_map_names_its_axes_and_has_a_colour_bar() -> None:
    values = np.array([[0.5, 0.9], [np.nan, 0.7]])
    figure = heat_map(values, ["a", "b"], ["0", "1"], title="t", row_label="r", column_label="c", value_label="AUROC")
    axes, bar = figure.axes
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("t", "c", "r")
    assert bar.get_ylabel() == "AUROC"
    assert [text.get_text() for text in axes.texts] == ["0.500", "0.900", "-", "0.700"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "1"]


def test_heat_map_without_any_value_is_drawn() -> None:
    labels = {"title": "", "row_label": "", "column_label": "", "value_label": ""}
    figure = heat_map(np.full((1, 1), np.nan), ["a"], ["0"], **labels)
    assert [text.get_text() for text in figure.axes[0].texts] == ["-"]


def test_roc_curves_are_averaged_at_equal_false_positive_rates() -> None:
    diagonal = (np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    perfect = (np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0]))
    figure = mean_roc({"net": [diagonal, perfect]})
    line = figure.axes[0].get_lines()[0]
    false, true = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    assert true[1:] == pytest.approx((false[1:] + 1) / 2)
    assert line.get_label() == "net (2 runs)"
