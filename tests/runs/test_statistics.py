"""Mean, spread and best of several runs."""

from __future__ import annotations

import math
import statistics

import pytest

from aeanomaly.runs.statistics import Spread, summarize, which_is_best


def test_mean_and_deviation_of_a_sample() -> None:
    values = [0.91, 0.934, 0.9525]
    spread = summarize(values)
    assert spread.mean == pytest.approx(statistics.mean(values), rel=1e-15)
    assert spread.std == pytest.approx(statistics.stdev(values), rel=1e-12)
    assert spread.n == 3


def test_values_that_are_not_finite_do_not_count() -> None:
    assert summarize([0.5]) == summarize([0.5, math.nan]) == Spread(0.5, None, 1)
    assert math.isnan(summarize([math.nan, math.inf]).mean)
    assert math.isnan(summarize([]).mean)
    assert summarize([math.inf]) == Spread(math.inf, None, 0)


def test_which_is_best() -> None:
    spreads = [summarize(values) for values in ([0.5, 0.7], [0.9], [math.nan], [0.1, 0.3])]
    assert which_is_best(spreads, True) == [False, True, False, False]
    assert which_is_best([*spreads, None], False) == [False, False, False, True, False]
    assert not any(which_is_best(spreads, None))
    assert not any(which_is_best(spreads[1:3], True))  # one alone is not the best of anything
