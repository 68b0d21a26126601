"""Histograms of scores of any size."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from aeanomaly.callbacks.histograms import ScoreHistograms
from tests.projections import evaluation


@pytest.mark.parametrize("scale", [1.0, 1e25, -1e25])
def test_scores_of_any_size_have_a_histogram(scale: float, tmp_path: Path) -> None:
    given, logger = evaluation(30), TensorBoardLogger(tmp_path)
    given.scores = {"distance": scale * (1 + given.scores["reconstruction"])}
    running: Any = SimpleNamespace(
        is_global_zero=True, loggers=[logger], state=SimpleNamespace(fn="test"), global_step=5, sanity_checking=False
    )
    ScoreHistograms().on_evaluation(running, None, given, "test")  # type: ignore[arg-type]
    logger.experiment.flush()
    events = EventAccumulator(logger.log_dir, size_guidance={"histograms": 0})
    events.Reload()
    for kind, count in (("normal", int((~given.is_anomaly).sum())), ("anomaly", int(given.is_anomaly.sum()))):
        (point,) = events.Histograms(f"test/distance/{kind}")
        assert sum(point.histogram_value.bucket) == point.histogram_value.num == count
