"""What a trial tells the study after every epoch, and how it stops when the study has heard enough."""

from __future__ import annotations

import math
from collections.abc import Callable

import lightning as L
from optuna import TrialPruned
from optuna.trial import Trial

from aeanomaly.callbacks.run_record import RunRecord
from aeanomaly.errors import UserError

MONITOR = "val/loss"  # of normal images; it is no option, so that nothing that knows anomalies can be chosen


class ReportLoss(L.Callback):
    """Reports val/loss after each validation epoch, and ends the training of a hopeless trial.

    Training ends as by early stopping, so that a pruned run too leaves its values in metrics.json.

    Args:
        trial: to whom it is reported.
        watch: called with the epoch, counted from 1, and its val/loss.

    Attributes:
        best: the lowest val/loss so far.
        pruned: why the trial was stopped early; empty if it was not.
    """

    def __init__(self, trial: Trial, watch: Callable[[int, float], None]) -> None:
        self.trial, self._watch = trial, watch
        self.best = math.inf
        self.pruned = ""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Refuse several processes, of which only this one would know that it is a trial."""
        if trainer.world_size > 1:
            raise UserError(
                f"a trial runs on one device, here are {trainer.world_size}: set trainer.devices to 1 in overrides"
            )

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Give up a net whose weights are no numbers, before scores are fitted on what it puts out."""
        if not all(parameter.isfinite().all() for parameter in pl_module.parameters()):
            raise TrialPruned(f"its weights are no longer finite in epoch {trainer.current_epoch + 1}")

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report, and stop if the study says so."""
        if trainer.sanity_checking or self.pruned:
            return
        epoch, loss = trainer.current_epoch + 1, float(trainer.callback_metrics[MONITOR])
        self.best = min(self.best, loss) if math.isfinite(loss) else self.best
        self._watch(epoch, loss)
        self.trial.report(loss, epoch)
        if not math.isfinite(loss):  # whatever the pruner
            self.pruned = f"its loss is {loss} in epoch {epoch}"
        elif self.trial.should_prune():
            self.pruned = f"hopeless after epoch {epoch}"
        if self.pruned:
            trainer.should_stop = True

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Have the run's record say how the trial ended."""
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, RunRecord):
                callback.record["trial"] = "pruned" if self.pruned else "complete"
