"""The layout of Custom Scalars, and the scalars that only it shows."""

from __future__ import annotations

import re
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

from aeanomaly.callbacks.side_by_side import SideBySide


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
    layout = SideBySide.layout({"knn": ["fpr0.5", "fpr0.51"]})
    charts = {chart.title: chart for category in layout.category for chart in category.chart}
    normal, anomaly = charts["knn: accuracies at threshold fpr0.5"].multiline.tag
    assert re.match(normal, "val/normal_accuracy/knn@fpr0.5")
    assert re.match(anomaly, "val/anomaly_accuracy/knn@fpr0.5")
    assert not re.match(normal, "val/normal_accuracy/knn@fpr0.51")
    assert not re.match(normal, "val/normal_accuracy/knn@fpr0x5")
