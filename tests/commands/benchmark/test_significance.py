"""Intervals, the paired test and its correction, against enumeration, scipy and examples by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from aeanomaly.commands.benchmark.significance import compare_to_best, holm, interval, paired_p


def test_interval_by_hand() -> None:
    # Mean 0.5, deviation 0.1, the quantile 4.3027 of Student's t with two degrees of freedom, over the root of 3.
    assert interval(np.array([0.4, np.nan, 0.5, 0.6])) == pytest.approx((0.2516, 0.7484), abs=1e-4)
    assert interval(np.array([0.8, 0.9, 1.0])) == pytest.approx((0.6516, 1.0), abs=1e-4)  # cut: no AUROC is above 1
    assert interval(np.array([0.5, np.nan])) is None


def test_interval_is_that_of_scipys_test_of_one_mean() -> None:
    values = np.random.default_rng(0).uniform(0.4, 0.6, 10)
    assert interval(values) == pytest.approx(tuple(stats.ttest_1samp(values, 0.0).confidence_interval(0.95)))


def test_holm_by_hand() -> None:
    # In order 0.01 x 4, 0.02 x 3, 0.03 x 2 and 0.04 x 1, the last raised to the one before it.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


def test_paired_p_counts_signs() -> None:
    """Every sign of the six ranks is as likely: p is the share of them that are as one-sided as what was found."""
    differences = np.array([0.11, 0.22, -0.33, 0.44, 0.55, 0.66])
    sums = [
        sum(rank for rank, sign in zip(range(1, 7), s, strict=True) if sign)
        for s in itertools.product((0, 1), repeat=6)
    ]
    expected = 2 * sum(total <= 3 for total in sums) / 64
    assert expected == 10 / 64
    assert paired_p(0.1 + differences, np.full(6, 0.1)) == pytest.approx(expected)


def test_pairs_without_a_difference_do_not_count() -> None:
    one, other = np.array([0.9, 0.8, 0.71, 0.62, 0.53, 0.44, 0.35]), np.array([0.9, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    assert paired_p(one, other) == pytest.approx(2 / 2**6)
    assert paired_p(one, one) == 1.0


def example() -> np.ndarray:
    """Seven classes: the best; worse in every one; better in the one that differs least; without two of the classes."""
    best = np.array([0.90, 0.80, 0.95, 0.85, 0.70, 0.92, 0.88])
    gaps = np.array([0.010, 0.021, 0.032, 0.043, 0.054, 0.065, 0.076])
    few = np.array([0.99, 0.99, 0.99, 0.99, 0.99, np.nan, np.nan])
    return np.stack([best - gaps, best, best - gaps * [-1, 1, 1, 1, 1, 1, 1], few])


def test_comparison_by_hand() -> None:
    found = compare_to_best(example(), True)
    assert found.best == 1  # the last row's mean is higher, of fewer classes
    assert found.shared == [7, 7, 7, 5]
    # 2 and 4 of the 128 signs; Holm doubles the first. Five classes are too few for the last row.
    assert found.p == [pytest.approx(4 / 128), None, pytest.approx(4 / 128), None]
    assert found.smallest_p == pytest.approx(2 * 2 / 128)
    assert found.among_the_best == [False, True, False, False]


def test_rows_that_cannot_be_told_from_the_best_are_among_the_best() -> None:
    generator = np.random.default_rng(0)
    best = generator.uniform(0.7, 0.9, 10)
    values = np.stack([best, best - 0.1, best + generator.normal(-0.001, 0.02, 10), best])
    found = compare_to_best(1 - values, False)
    expected = [stats.wilcoxon(1 - values[row], 1 - best).pvalue for row in (1, 2)]
    assert found.best == 0
    assert found.p == [None, pytest.approx(3 * expected[0]), pytest.approx(2 * expected[1]), 1.0]
    assert found.among_the_best == [True, False, True, True]


@pytest.mark.parametrize(("rows", "classes", "decides"), [(2, 5, False), (2, 6, True), (26, 10, True), (27, 10, False)])
def test_too_few_classes_for_so_many_rows_decide_nothing(rows: int, classes: int, decides: bool) -> None:
    values = 0.9 - np.arange(rows)[:, None] / 100 - np.arange(classes) / 1000 * np.arange(rows)[:, None]
    found = compare_to_best(values, True)
    assert found.decides is decides
    assert any(found.among_the_best) is decides
    assert found.smallest_p == pytest.approx((rows - 1) * 2 / 2**classes)


def test_nothing_to_compare() -> None:
    alone = compare_to_best(np.full((1, 8), 0.5), True)
    assert (alone.best, alone.smallest_p, alone.among_the_best) == (0, None, [False])
    assert compare_to_best(np.full((2, 8), np.nan), True).best is None
