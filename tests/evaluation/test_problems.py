"""What is suspicious about an evaluation."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from aeanomaly.evaluation.metrics import score_metrics
from aeanomaly.evaluation.problems import find_problems
from aeanomaly.outputs import Evaluation

SIZE, ANOMALIES = 100, 30


def measured(evaluation: Evaluation, **changes: Any) -> Evaluation:
    """The evaluation with other fields, and with the metrics that belong to them."""
    changed = dataclasses.replace(evaluation, **changes)
    changed.metrics = {name: score_metrics(scores, changed.is_anomaly, {}) for name, scores in changed.scores.items()}
    return changed


def healthy() -> Evaluation:
    generator = torch.Generator().manual_seed(0)
    is_anomaly = torch.arange(SIZE) < ANOMALIES
    evaluation = Evaluation(
        scores={
            "reconstruction": 30 + 20 * is_anomaly + 10 * torch.rand(SIZE, generator=generator),
            "kmeans": 5 + 3 * is_anomaly + 4 * torch.rand(SIZE, generator=generator),
        },
        thresholds={"reconstruction": {"35": 35.0}, "kmeans": {"35": math.nan}},
        code=torch.randn(SIZE, 4, generator=generator),
        label=torch.where(is_anomaly, 0, 1),
        is_anomaly=is_anomaly,
        index=torch.arange(SIZE),
    )
    return measured(evaluation)


def with_kmeans(scores: Tensor) -> Evaluation:
    return measured(healthy(), scores={**healthy().scores, "kmeans": scores})


def test_nothing_is_wrong_with_healthy_data() -> None:
    assert find_problems(healthy()) == []


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite(bad: float) -> None:
    scores = healthy().scores["kmeans"]
    scores[[4, 90]] = bad
    ((_, sentence),) = find_problems(with_kmeans(scores))
    assert "'kmeans' is NaN or infinite for 2 of 100" in sentence


def test_a_constant_score() -> None:
    ((_, sentence),) = find_problems(with_kmeans(torch.full((SIZE,), 50.0)))
    assert "'kmeans' is the same for all 100 images" in sentence


def test_an_auroc_below_one_half() -> None:
    ((_, sentence),) = find_problems(with_kmeans(-healthy().scores["kmeans"]))
    assert "AUROC of score 'kmeans'" in sentence
    assert "below 0.5" in sentence


def test_an_auroc_of_one_half_is_not_below() -> None:
    # Two distinct values, equally common in both groups.
    scores = (torch.arange(SIZE) % 2).float()
    assert find_problems(with_kmeans(scores)) == []


@pytest.mark.parametrize("left", [True, False])
def test_without_one_of_the_groups_there_is_no_auroc_to_complain_of(left: bool) -> None:
    evaluation = with_kmeans(-healthy().scores["kmeans"])
    assert find_problems(measured(evaluation, is_anomaly=torch.full((SIZE,), left))) == []


@pytest.mark.parametrize("value", [0.0, 1.0, -3.3])
def test_a_code_dimension_that_does_not_vary_over_normal_images(value: float) -> None:
    evaluation = healthy()
    evaluation.code[~evaluation.is_anomaly, 2] = value  # it still does over the anomalies
    ((_, sentence),) = find_problems(evaluation)
    assert "[2] of 4 do not vary" in sentence


def test_a_code_that_does_not_vary_at_all() -> None:
    ((_, sentence),) = find_problems(dataclasses.replace(healthy(), code=torch.ones(SIZE, 4)))
    assert "[0, 1, 2, 3] of 4" in sentence


def test_of_many_dead_dimensions_some_are_named() -> None:
    ((_, sentence),) = find_problems(dataclasses.replace(healthy(), code=torch.ones(SIZE, 5000)))
    assert "code dimensions [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] and 4990 more of 5000 do not vary" in sentence


def test_a_small_code_is_not_a_dead_code() -> None:
    assert find_problems(dataclasses.replace(healthy(), code=1e-8 * healthy().code)) == []
    uneven = healthy().code * torch.tensor([1.0, 1e-3, 1.0, 1.0])
    assert find_problems(dataclasses.replace(healthy(), code=uneven)) == []


def test_several_problems_are_told_apart_by_their_cause() -> None:
    evaluation = with_kmeans(torch.full((SIZE,), math.nan))
    evaluation = measured(
        evaluation, scores={**evaluation.scores, "reconstruction": -evaluation.scores["reconstruction"]}
    )
    evaluation.code[:, 0] = 0
    causes = [cause for cause, _ in find_problems(evaluation)]
    assert len(causes) == len(set(causes)) == 3


def test_a_single_image_is_not_called_constant() -> None:
    one = healthy()
    alone = Evaluation({"kmeans": torch.tensor([5.0])}, {}, one.code[:1], one.label[:1], one.is_anomaly[-1:], one.index)
    assert find_problems(alone) == []
