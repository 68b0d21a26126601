"""Makes silent failures loud."""

from __future__ import annotations

import warnings

import lightning as L

from aeanomaly.callbacks.base import EvaluationCallback
from aeanomaly.errors import AnomalyWarning
from aeanomaly.evaluation.problems import find_problems
from aeanomaly.outputs import Evaluation
from aeanomaly.training.module import LitAutoencoder


class HealthCheck(EvaluationCallback):
    """Warns, once for each cause, of results that look valid and are not.

    Checked after every validation and test epoch: what `find_problems` finds, and what a score reports itself (an empty
    cluster).
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def on_evaluation(self, trainer: L.Trainer, module: LitAutoencoder, evaluation: Evaluation, stage: str) -> None:
        if not trainer.is_global_zero:
            return
        problems = find_problems(evaluation)
        for name, score in module.detector.score_modules.items():
            problems += [(f"{name} fit", f"score {name!r}: {sentence}") for sentence in score.problems()]
        for cause, sentence in problems:
            if f"{stage} {cause}" not in self._said:
                self._said.add(f"{stage} {cause}")
                epoch = f" (epoch {trainer.current_epoch + 1})" if stage == "val" else ""
                warnings.warn(f"{stage}{epoch}: {sentence}", AnomalyWarning, stacklevel=2)
