"""Threshold rules: the hand-chosen value and the bounded false alarm rate."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest
import torch

from aeanomaly.errors import UserError
from aeanomaly.evaluation.thresholds import FalseAlarmRate, Fixed


@pytest.mark.parametrize("value", [35, 35.0, 2.5])
def test_a_fixed_threshold_does_not_look_at_scores(value: float) -> None:
    threshold = Fixed(value)
    assert not threshold.needs_normal_scores
    assert threshold.fit(torch.tensor([1.0, 2.0])) == value


def test_a_fixed_threshold_is_meant_for_the_scores_it_names() -> None:
    assert Fixed().applies_to("reconstruction")
    assert not Fixed().applies_to("kmeans")
    assert Fixed(1, scores=["kmeans"]).applies_to("kmeans")
    assert not Fixed(1, scores=["kmeans"]).applies_to("reconstruction")


def test_a_false_alarm_rate_is_meant_for_every_score() -> None:
    assert FalseAlarmRate(0.05).needs_normal_scores
    assert FalseAlarmRate(0.05).applies_to("reconstruction")
    assert FalseAlarmRate(0.05).applies_to("kmeans")


@pytest.mark.parametrize("alpha", ["0.01", "0.05", "0.07", "0.1", "0.29", "0.3", "0.55", "0.9", "0.99"])
def test_the_order_statistic_is_right_for_every_number_of_images(alpha: str) -> None:
    exact = Fraction(alpha)
    for n in [*range(1, 130), 199, 999]:
        # Repeated values among them: the definition counts scores, not distinct values.
        scores = torch.from_numpy(np.random.default_rng(n).integers(0, 60, n)).float()
        if exact < Fraction(1, n + 1):
            with pytest.raises(UserError):
                FalseAlarmRate(float(exact)).fit(scores)
            continue
        # The smallest score that at least (n + 1)(1 - alpha) of the n do not exceed, in exact arithmetic.
        expected = next(t for t in sorted(scores.tolist()) if int((scores <= t).sum()) >= (n + 1) * (1 - exact))
        assert FalseAlarmRate(float(exact)).fit(scores) == expected, f"n = {n}"


@pytest.mark.parametrize("n", [1, 2, 6, 9, 19, 48, 99, 999])
def test_the_smallest_rate_that_can_be_guaranteed(n: int) -> None:
    scores = torch.randperm(n, generator=torch.Generator().manual_seed(n)).float()
    assert FalseAlarmRate(1 / (n + 1)).fit(scores) == n - 1  # the largest score of all
    with pytest.raises(UserError, match=rf"from {n} normal .*: it takes \d+; .*to 0\.\d+ or more") as error:
        FalseAlarmRate(0.999 / (n + 1)).fit(scores)
    (needed,) = re.findall(r"it takes (\d+)", str(error.value))
    (advised,) = re.findall(r"to (0\.\d+) or more", str(error.value))
    assert 1 / (n + 1) <= float(advised) < 1 / (n + 1) + 1e-4
    for count in (int(needed) - 1, int(needed)):
        assert (0.999 / (n + 1) >= 1 / (count + 1)) == (count == int(needed))


def test_no_image_guarantees_nothing() -> None:
    with pytest.raises(UserError, match=r"from 0 normal validation images: .*, or leave the threshold out"):
        FalseAlarmRate(0.5).fit(torch.empty(0))


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 1.5, 5.0, float("nan")])
def test_a_rate_outside_0_to_1_is_refused(alpha: float) -> None:
    with pytest.raises(UserError, match="strictly between 0 and 1"):
        FalseAlarmRate(alpha)


@pytest.mark.parametrize(("n", "alpha"), [(19, 0.05), (50, 0.1), (99, 0.05), (30, 0.5)])
def test_the_mean_false_alarm_rate_is_bounded_and_not_far_below(n: int, alpha: float) -> None:
    draws, scale = 4000, 50.0
    scores = torch.from_numpy(np.random.default_rng(n).exponential(scale, (draws, n)))
    threshold = FalseAlarmRate(alpha)
    # The chance that a new exponential score exceeds t is known exactly, so only the held-out scores are drawn.
    rates = np.exp([-threshold.fit(row) / scale for row in scores])
    tolerance = 5 * rates.std() / np.sqrt(draws)
    assert alpha - 1 / (n + 1) - tolerance < rates.mean() < alpha + tolerance
