"""One trial: an ordinary fit that tells the study its loss after every epoch, and stops when that has heard enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import lightning as L
from jsonargparse import Namespace
from optuna.trial import Trial

from aeanomaly.callbacks.run_record import RunRecord
from aeanomaly.commands.fit.options import option
from aeanomaly.commands.fit.trainer_cli import AnomalyCLI
from aeanomaly.commands.sweep.plan import Plan
from aeanomaly.commands.sweep.space import Space, probes
from aeanomaly.errors import DivergedError, UserError

MONITOR = "val/loss"  # of normal images; it is no option, so that nothing that knows anomalies can be chosen


class ReportLoss(L.Callback):
    """Reports val/loss after each validation epoch, and ends the training of a hopeless trial.

    Training ends as by early stopping, so that a pruned run too leaves its values in metrics.json.

    Args:
        trial: to whom it is reported.
        watch: called with what to show after every epoch, counted from 1.

    Attributes:
        best: the lowest val/loss so far.
        pruned: why the trial was stopped early; empty if it was not.
    """

    def __init__(self, trial: Trial, watch: Callable[[str], None]) -> None:
        self.trial, self._watch = trial, watch
        self.best = math.inf
        self.pruned = ""
        self._reported = 0  # the latest epoch

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Refuse several processes, of which only this one would know that it is a trial."""
        if trainer.world_size > 1:
            raise UserError(
                f"a trial runs on one device, here are {trainer.world_size}: set trainer.devices to 1 in overrides"
            )

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report, and stop if the study says so."""
        if trainer.sanity_checking or self.pruned:
            return
        epoch, loss = trainer.current_epoch + 1, float(trainer.callback_metrics[MONITOR])
        self.best = min(self.best, loss) if math.isfinite(loss) else self.best
        self._watch(f"epoch {epoch}, val/loss {loss:.6g}")
        if epoch != self._reported:  # of several validations of an epoch Optuna takes the first
            self.trial.report(loss, epoch)
            self._reported = epoch
        if not math.isfinite(loss):  # whatever the pruner
            self.pruned = f"its loss is {loss} in epoch {epoch}"
        elif self.trial.should_prune():
            self.pruned = f"hopeless after epoch {epoch}"
        if self.pruned:
            trainer.should_stop = True

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """A net that diverges is hopeless, which is no mistake in the settings of the sweep."""
        if isinstance(exception, DivergedError):
            self.pruned = str(exception).partition(" (epoch")[0]

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Have the run's record say how the trial ended."""
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, RunRecord):
                callback.record["trial"] = "pruned" if self.pruned else "complete"


class TrialCLI(AnomalyCLI):
    """``fit`` that reports to a study, and does not test: no trial is chosen by what it would show."""

    def __init__(self, words: Sequence[str], reporting: ReportLoss) -> None:
        self.reporting = reporting
        super().__init__("fit", words)

    def own_callbacks(self) -> list[L.Callback]:
        """Without the one that offers to resume an interrupted run: the sweep begins such a trial again."""
        return [RunRecord(), self.reporting]

    def after_fit(self) -> None:
        """Raise if the trial has no result; the test is for the best config, once the choice is made."""
        if not self.reporting.pruned and not math.isfinite(self.reporting.best):
            raise UserError("no epoch ended with a validation; see trainer.max_epochs, trainer.check_val_every_n_epoch")


class ParsedCLI(AnomalyCLI):
    """``fit`` that stops when its options are parsed, and keeps them in ``config_dump``."""

    def look_at_images(self, options: Namespace) -> None:
        """Leave that to the trials."""

    def before_instantiate_classes(self) -> None:
        """Nothing."""

    def instantiate_classes(self) -> None:
        """Nothing is built."""
        self._dump_config()

    def after_instantiate_classes(self) -> None:
        """Nothing."""

    def _run_subcommand(self, subcommand: str) -> None:
        pass


def check(plan: Plan, space: Space) -> str | None:
    """Try keys and values on the parser, before the first trial.

    Returns:
        ``trainer.default_root_dir`` as the base config has it.

    Raises:
        UserError: if a key or a value is wrong, or the base config leaves a trial without a run directory.
    """
    for params in probes(space):
        words = [*plan.words, *(option(key, value) for key, value in params.items())]
        trainer = ParsedCLI("fit", words).config_dump["trainer"]
    for key, allowed in (("logger", (None, True)), ("fast_dev_run", (None, False, 0))):
        if trainer.get(key) not in allowed:
            raise UserError(f"trainer.{key} of the base config leaves trials without their run directory: remove it")
    root: str | None = trainer.get("default_root_dir")
    return root
