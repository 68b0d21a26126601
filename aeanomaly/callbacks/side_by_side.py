"""Normal against anomalous in one chart: TensorBoard's tab Custom Scalars."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import lightning as L
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

from aeanomaly.callbacks.base import EvaluationCallback, autoencoder, logged_step
from aeanomaly.evaluation.metric_name import MetricName
from aeanomaly.evaluation.spread import KINDS, QUANTILES, spread, spread_tag
from aeanomaly.outputs import Evaluation
from aeanomaly.plots.custom_scalars import bands, layout, layout_summary, lines
from aeanomaly.training.module import LitAutoencoder


class SideBySide(EvaluationCallback):
    """Lays out Custom Scalars so that what belongs together shares a chart, epoch by epoch.

    For each score, how the middle 90 % of normal and of anomalous validation scores lie, as two bands around their
    medians (scalars ``val_spread/<score>/<kind>_median``, ``_q05`` and ``_q95``, which this callback writes); for each
    score and threshold, both accuracies; AUROC, AUPR and FPR at 95 % TPR of all scores; both losses; the learning rate.
    The single charts of each remain where they were.
    """

    only_validations_of_a_fit = True

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        writer, detector = self.writer(trainer), autoencoder(self, pl_module).detector
        if writer is not None:
            thresholds = {
                score: [name for name, threshold in detector.thresholds.items() if threshold.applies_to(score)]
                for score in detector.score_modules
            }
            # The public `add_custom_scalars` makes a chart of one band at most, and these have two.
            writer._get_file_writer().add_summary(layout_summary(self.layout(thresholds)))

    def on_evaluation(self, trainer: L.Trainer, module: LitAutoencoder, evaluation: Evaluation, stage: str) -> None:
        writer = self.writer(trainer)
        if writer is not None and stage == "val":
            for tag, value in spread(evaluation).items():
                writer.add_scalar(tag, value, logged_step(trainer))

    @staticmethod
    def layout(thresholds: Mapping[str, Sequence[str]]) -> Layout:
        """The charts for scores, given by name with the names of the thresholds that apply to each.

        TensorBoard merges the layouts of several runs chart by chart, so a chart must read the same in all runs that
        have it: one for all scores matches their tags by a pattern instead of naming those of this run.
        """
        scores, accuracies = [], []
        for score, names in thresholds.items():
            median, low, high = ([spread_tag(score, kind, quantile) for kind in KINDS] for quantile in QUANTILES)
            scores.append(bands(f"{score}: median and middle 90 %", list(zip(median, low, high, strict=True))))
            for name in names:
                tags = [str(MetricName("val", f"{kind}_accuracy", score, name)) for kind in KINDS]
                patterns = [f"^{re.escape(tag)}$" for tag in tags]
                accuracies.append(lines(f"{score}: accuracies at threshold {name}", patterns))
        titles = {"auroc": "AUROC", "aupr": "AUPR", "fpr95": "FPR at 95 % TPR"}
        detection = [lines(title, [f"^{MetricName('val', metric)}/"]) for metric, title in titles.items()]
        losses = lines("loss", [f"^{MetricName(stage, 'loss')}$" for stage in ("train", "val")])
        return layout(
            {
                "Scores, normal against anomalous": scores,
                "Accuracies, normal against anomalous": accuracies,
                "Detection": [*detection, losses, lines("learning rate", ["^lr$"])],
            }
        )
