"""How the spread of normal and anomalous scores is summed up."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from aeanomaly.evaluation.spread import spread
from aeanomaly.outputs import Evaluation


def evaluation(normal: list[float], anomalous: list[float]) -> Evaluation:
    count = len(normal) + len(anomalous)
    return Evaluation(
        scores={"kmeans": torch.tensor(normal + anomalous)},
        thresholds={"kmeans": {}},
        code=torch.zeros(count, 2),
        label=torch.zeros(count).long(),
        is_anomaly=torch.arange(count) >= len(normal),
        index=torch.arange(count),
    )


def test_spread_is_that_of_numpy() -> None:
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(101, generator=generator).tolist()
    values = spread(evaluation(normal, [5.0, 7.0]))
    for name, level in (("q05", 0.05), ("median", 0.5), ("q95", 0.95)):
        assert values[f"val_spread/kmeans/normal_{name}"] == pytest.approx(np.quantile(normal, level), abs=1e-6)
    assert values["val_spread/kmeans/anomaly_median"] == 6.0


def test_what_is_not_finite_or_not_there_is_left_out() -> None:
    values = spread(evaluation([1.0, math.nan, math.inf], []))
    assert values == {f"val_spread/kmeans/normal_{name}": 1.0 for name in ("median", "q05", "q95")}
    assert spread(evaluation([math.nan], [])) == {}
