"""When histograms and precision-recall curves of every score are logged."""

from __future__ import annotations

import lightning as L
import torch

from aeanomaly.callbacks.base import EvaluationCallback, logged_step
from aeanomaly.evaluation.metrics import ranks
from aeanomaly.outputs import Evaluation
from aeanomaly.training.module import LitAutoencoder

_LARGEST = 1e19  # TensorBoard has no bins beyond 1e20, and raises if it finds all values there


class ScoreHistograms(EvaluationCallback):
    """Writes the histograms ``<stage>/<score>/normal`` and ``<stage>/<score>/anomaly`` and the precision-recall curve
    ``<stage>/<score>/pr`` to TensorBoard.
    """

    def on_evaluation(self, trainer: L.Trainer, module: LitAutoencoder, evaluation: Evaluation, stage: str) -> None:
        writer = self.writer(trainer)
        if writer is None:
            return
        for name, scores in evaluation.scores.items():
            finite = scores.isfinite()
            for kind, group in (("normal", ~evaluation.is_anomaly), ("anomaly", evaluation.is_anomaly)):
                values = scores[finite & group]
                if len(values):  # TensorBoard raises for an empty histogram
                    values = values.clamp(-_LARGEST, _LARGEST)
                    writer.add_histogram(f"{stage}/{name}/{kind}", values, logged_step(trainer))
            if evaluation.is_anomaly.any() and finite.all():
                # TensorBoard bins predictions over [0, 1], hence ranks instead of scores.
                labels = evaluation.is_anomaly.to(torch.uint8)
                writer.add_pr_curve(f"{stage}/{name}/pr", labels, ranks(scores), logged_step(trainer))
