"""The layout of Custom Scalars, and the scalars that only it shows."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

from aeanomaly.callbacks.side_by_side import layout, spread
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


def test_every_chart_finds_its_scalars_in_a_run(run_dir: Path) -> None:
    events = EventAccumulator(str(run_dir))
    events.Reload()
    (written,) = events.Tensors("custom_scalars__config__")
    found = Layout.FromString(written.tensor_proto.string_val[0])
    scalars = events.Tags()["scalars"]
    titles = []
    for category in found.category:
        for chart in category.chart:
            titles.append(chart.title)
            for pattern in chart.multiline.tag:
                assert [tag for tag in scalars if re.match(pattern, tag)], pattern
            for series in chart.margin.series:
                assert {series.value, series.lower, series.upper} <= set(scalars)
    assert len(titles) == len(set(titles))
    assert {"AUROC", "reconstruction: accuracies at threshold alarm5", "kmeans: median and middle 90 %"} <= {*titles}
    assert "kmeans: accuracies at threshold 3" not in titles
    assert len(events.Scalars("val_spread/kmeans/anomaly_median")) == 2


def test_a_pattern_matches_its_own_threshold_only() -> None:
    charts = {
        chart.title: chart for category in layout({"knn": ["fpr0.5", "fpr0.51"]}).category for chart in category.chart
    }
    normal, anomaly = charts["knn: accuracies at threshold fpr0.5"].multiline.tag
    assert re.match(normal, "val/normal_accuracy/knn@fpr0.5")
    assert re.match(anomaly, "val/anomaly_accuracy/knn@fpr0.5")
    assert not re.match(normal, "val/normal_accuracy/knn@fpr0.51")
    assert not re.match(normal, "val/normal_accuracy/knn@fpr0x5")


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
