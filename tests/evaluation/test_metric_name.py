"""The one place where names of metrics are built and taken apart."""

from __future__ import annotations

import pytest

from aeanomaly.evaluation.metric_name import MetricName

NAMES = {
    "val/loss": MetricName("val", "loss"),
    "test/auroc/kmeans": MetricName("test", "auroc", "kmeans"),
    "test/pixel_auroc/patch_knn": MetricName("test", "pixel_auroc", "patch_knn"),
    "val/normal_accuracy/kmeans@alarm5": MetricName("val", "normal_accuracy", "kmeans", "alarm5"),
}


@pytest.mark.parametrize("tag", NAMES)
def test_tags_are_taken_apart_and_put_together(tag: str) -> None:
    assert MetricName.parse(tag) == NAMES[tag]
    assert str(NAMES[tag]) == tag
    name = NAMES[tag]
    assert MetricName.of_column(name.stage, name.column, name.score) == name


@pytest.mark.parametrize(
    "tag", ["fit_seconds", "threshold/kmeans@35", "val", "val/", "test/auroc/a/b", "epoch", "val/x/y@"]
)
def test_other_words_are_no_metric(tag: str) -> None:
    assert MetricName.parse(tag) is None


def test_which_way_is_better() -> None:
    better = {
        "auroc": True,
        "aupr": True,
        "pixel_auroc": True,
        "aupro": True,
        "normal_accuracy": True,
        "fpr95": False,
        "loss": False,
        "spread": None,
    }
    for metric, up in better.items():
        assert MetricName("test", metric, "kmeans").higher_is_better is up


@pytest.mark.parametrize("metric", ["auroc", "aupr", "fpr95", "aupro", "anomaly_accuracy", "f1", "a_new_metric"])
def test_what_is_not_known_to_do_without_anomalies_looks_at_them(metric: str) -> None:
    assert MetricName("val", metric, "kmeans").looks_at_anomalies


def test_loss_and_normal_accuracy_do_not_look_at_anomalies() -> None:
    assert not MetricName("val", "loss").looks_at_anomalies
    assert not MetricName("val", "normal_accuracy", "kmeans", "alarm5").looks_at_anomalies
    assert not MetricName("train", "loss").looks_at_anomalies
