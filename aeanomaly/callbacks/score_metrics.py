"""Logs detection metrics, histograms and precision-recall curves of every score."""

from __future__ import annotations

import lightning as L
import torch
from torch import Tensor

from aeanomaly.callbacks.tensorboard import summary_writer
from aeanomaly.outputs import Evaluation
from aeanomaly.training.module import LitAutoencoder


class ScoreMetrics(L.Callback):
    """Logs, after every validation and test epoch, what `score_metrics` computes for each score.

    Tags are ``<stage>/<metric>/<score>`` and ``<stage>/normal_accuracy/<score>@<threshold>``. A metric that is not
    defined for the data (an AUROC without anomalies) is left out. TensorBoard also gets the histograms
    ``<stage>/<score>/normal`` and ``<stage>/<score>/anomaly`` and the curve ``<stage>/<score>/pr``.

    Args:
        histograms: whether to write histograms and curves.
    """

    def __init__(self, histograms: bool = True) -> None:
        self.histograms = histograms

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report on the validation pass."""
        if not trainer.sanity_checking:
            self._report(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report on the test pass."""
        self._report(trainer, pl_module, "test")

    def _report(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        assert isinstance(pl_module, LitAutoencoder)
        evaluation = pl_module.evaluation()
        if self.histograms:
            _write_histograms(trainer, evaluation, stage)


def tag(stage: str, metric: str, score: str) -> str:
    """``test``, ``normal_accuracy@35``, ``kmeans`` to ``test/normal_accuracy/kmeans@35``."""
    metric, at, threshold = metric.partition("@")
    return f"{stage}/{metric}/{score}{at}{threshold}"


def ranks(scores: Tensor) -> Tensor:
    """(N,) scores as their dense ranks in (0, 1]: the same order and the same ties, whatever the scale."""
    distinct, position = scores.unique(return_inverse=True)
    dense: Tensor = (position + 1) / len(distinct)
    return dense


def _write_histograms(trainer: L.Trainer, evaluation: Evaluation, stage: str) -> None:
    writer = summary_writer(trainer)
    if writer is None:
        return
    for name, scores in evaluation.scores.items():
        finite = scores.isfinite()
        for kind, group in (("normal", ~evaluation.is_anomaly), ("anomaly", evaluation.is_anomaly)):
            values = scores[finite & group]
            if len(values):  # TensorBoard raises for an empty histogram
                writer.add_histogram(f"{stage}/{name}/{kind}", values, trainer.global_step)
        if evaluation.is_anomaly.any() and finite.all():
            # TensorBoard bins predictions over [0, 1], hence ranks instead of scores.
            labels = evaluation.is_anomaly.to(torch.uint8)
            writer.add_pr_curve(f"{stage}/{name}/pr", labels, ranks(scores), trainer.global_step)
