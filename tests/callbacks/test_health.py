"""When the health check speaks up."""

from __future__ import annotations

import dataclasses
import warnings
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from aeanomaly.callbacks.health import HealthCheck
from aeanomaly.errors import AnomalyWarning
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.outputs import Evaluation
from aeanomaly.scores.kmeans import KMeans
from aeanomaly.training.module import LitAutoencoder
from tests.projections import evaluation


class Collapsed(LitAutoencoder):
    """A module whose scores are all equal, and whose KMeans has an empty cluster."""

    def __init__(self) -> None:
        kmeans = KMeans(2)
        super().__init__(DenseAutoencoder([1, 8, 8], [4], 2), {"kmeans": kmeans})
        kmeans.counts = torch.tensor([30, 0])

    def evaluation(self) -> Evaluation:
        return dataclasses.replace(evaluation(30), scores={"kmeans": torch.full((30,), 7.0)})


def said(callback: HealthCheck, stage: str, epoch: int, first_device: bool = True) -> list[str]:
    """The warnings of one pass."""
    trainer: Any = SimpleNamespace(
        is_global_zero=first_device, sanity_checking=False, state=SimpleNamespace(fn="fit"), current_epoch=epoch
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        hook = callback.on_validation_epoch_end if stage == "val" else callback.on_test_epoch_end
        hook(trainer, Collapsed())
    assert all(issubclass(warning.category, AnomalyWarning) for warning in caught)
    return [str(warning.message) for warning in caught]


def test_each_cause_is_said_once_for_each_stage() -> None:
    callback = HealthCheck()
    constant, empty = said(callback, "val", 3)
    assert constant == "val (epoch 4): score 'kmeans' is the same for all 30 images"
    assert empty == "val (epoch 4): score 'kmeans': 1 of 2 clusters are empty [1]"
    assert said(callback, "val", 4) == []
    assert said(callback, "test", 4) == [
        constant.replace("val (epoch 4)", "test"),
        empty.replace("val (epoch 4)", "test"),
    ]


@pytest.mark.parametrize("stage", ["val", "test"])
def test_only_the_first_device_speaks(stage: str) -> None:
    assert said(HealthCheck(), stage, 0, first_device=False) == []
