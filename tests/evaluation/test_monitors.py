"""Anomalous validation images choose nothing: not the weights, not the checkpoint, not a score, not a threshold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from aeanomaly.data.base import Arrays
from aeanomaly.data.sources.digits import Digits
from aeanomaly.errors import UserError
from aeanomaly.evaluation.metric_name import refuse_anomalous_monitors


class ScrambledAnomalies(Digits):
    """The digits with the anomalous training images replaced by noise, in another order, and most of them removed."""

    def load(self) -> Arrays:
        arrays = super().load()
        anomalous = (arrays.train_labels == 0).nonzero().flatten()
        images = arrays.train_images.clone()
        noise = torch.Generator().manual_seed(1)
        images[anomalous] = torch.randint(0, 256, images[anomalous].shape, generator=noise, dtype=torch.uint8)
        kept = torch.ones(len(images), dtype=torch.bool)
        kept[anomalous[5:]] = False
        return arrays._replace(train_images=images[kept], train_labels=arrays.train_labels[kept])


@pytest.fixture(scope="module")
def states(fit: Callable[..., Path]) -> list[tuple[str, dict[str, torch.Tensor]]]:
    """Name and content of the best checkpoint, with the true and with the scrambled anomalies."""
    found = []
    for source in ("aeanomaly.data.sources.digits.Digits", "tests.evaluation.test_monitors.ScrambledAnomalies"):
        run = fit("--trainer.max_epochs", "4", "--data", source, "--data.anomaly_classes", "[0]")
        best = next((run / "checkpoints").glob("best-*.ckpt"))
        loss = json.loads((run / "metrics.json").read_text())["val/loss"]  # what chose the checkpoint
        found.append((f"{best.name} {loss!r}", torch.load(best, weights_only=True)["state_dict"]))
    return found


def test_weights_scores_and_thresholds_do_not_depend_on_anomalies(
    states: list[tuple[str, dict[str, torch.Tensor]]],
) -> None:
    (_, true), (_, scrambled) = states
    assert true.keys() == scrambled.keys()
    assert {"detector.calibrations.kmeans.normal_scores", "detector.scores.kmeans.centres"} <= true.keys()
    for name in true:
        assert torch.equal(true[name].nan_to_num(), scrambled[name].nan_to_num()), name


def test_checkpoint_choice_does_not_depend_on_anomalies(states: list[tuple[str, dict[str, torch.Tensor]]]) -> None:
    assert states[0][0] == states[1][0]


def test_the_scrambled_anomalies_are_really_others() -> None:
    true, scrambled = (kind(anomaly_classes=[0], split_seed=0) for kind in (Digits, ScrambledAnomalies))
    for data in (true, scrambled):
        data.setup()
    assert true.sizes()["val_anomaly"] == 142
    assert scrambled.sizes()["val_anomaly"] == 5
    assert true.sizes()["val_normal"] == scrambled.sizes()["val_normal"]


@pytest.mark.parametrize(
    "monitor",
    [
        "val/auroc/kmeans",
        "val/f1/kmeans",
        "val/anomaly_accuracy/kmeans@fixed",
        "test/loss",
        "test/normal_accuracy/a@b",
        "f1",
    ],
)
def test_what_may_look_at_anomalies_is_refused(monitor: str) -> None:
    with pytest.raises(UserError, match="looks at anomalous images"):
        refuse_anomalous_monitors([None, "val/loss", monitor])


def test_what_does_without_anomalies_is_allowed() -> None:
    allowed = [None, "val/loss", "train/loss", "train/kl", "val/normal_accuracy/kmeans@alarm5"]
    refuse_anomalous_monitors(allowed)
    with pytest.raises(UserError, match="val/auroc/kmeans"):  # and nothing before it is named
        refuse_anomalous_monitors([*allowed, "val/auroc/kmeans"])
