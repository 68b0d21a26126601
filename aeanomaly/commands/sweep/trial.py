"""One trial: an ordinary fit in a folder of its own, in this process."""

from __future__ import annotations

import contextlib
import math
import shlex
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback
from optuna import TrialPruned
from optuna.trial import Trial

from aeanomaly.callbacks.run_record import RunRecord
from aeanomaly.commands.fit.options import option
from aeanomaly.commands.fit.trainer_cli import AnomalyCLI, run_cli
from aeanomaly.commands.sweep.plan import Plan
from aeanomaly.commands.sweep.pruning import ReportLoss
from aeanomaly.errors import UserError
from aeanomaly.runs.reading import LOGS


class TrialCLI(AnomalyCLI):
    """``fit`` that reports to a study, and does not test: no trial is chosen by what it would show."""

    reporting: ReportLoss

    def own_callbacks(self) -> list[Callback]:
        """Without the one that offers to resume an interrupted run: the sweep begins such a trial again."""
        return [RunRecord(), self.reporting]

    def after_fit(self) -> None:
        """Nothing: the test is for the best config, once the choice is made."""


class ParsingCLI(AnomalyCLI):
    """``fit`` that stops when its options are parsed, and keeps them as keys and values and as YAML."""

    text: str

    def instantiate_classes(self) -> None:
        """Nothing is built."""
        self._dump_config()
        self.text = self._parser("fit").dump(self.config["fit"], skip_none=False)

    def after_instantiate_classes(self) -> None:
        """Nothing."""

    def _run_subcommand(self, subcommand: str) -> None:
        pass


def resolve(words: Sequence[str]) -> tuple[dict[str, Any], str]:
    """The complete config that ``fit`` would run with these words, as keys and values and as YAML.

    Raises:
        UserError: if a key or a value is wrong.
    """
    cli = ParsingCLI.__new__(ParsingCLI)
    run_cli(cli, "fit", words)
    return cli.config_dump, cli.text


def check(plan: Plan, settings: Sequence[Mapping[str, Any]]) -> str | None:
    """Try keys and values on the parser, before the first trial.

    Args:
        plan: what the trials have in common.
        settings: by dotted key, what trials may be given.

    Returns:
        ``trainer.default_root_dir`` as the base config has it.

    Raises:
        UserError: if a key or a value is wrong, or the base config leaves a trial without a run directory.
    """
    trainer: dict[str, Any] = {}
    for params in settings:
        config, _ = resolve([*plan.words, *(option(key, value) for key, value in params.items())])
        trainer = config["trainer"]
    for key, allowed in (("logger", (None, True)), ("fast_dev_run", (None, False, 0))):
        if trainer.get(key) not in allowed:
            raise UserError(f"trainer.{key} of the base config leaves trials without their run directory: remove it")
    root: str | None = trainer.get("default_root_dir")
    return root


def trial_folder(plan: Plan, number: int) -> Path:
    """Where a trial's log and run lie."""
    return plan.out / f"trial_{number:03d}"


def run_of_trial(plan: Plan, number: int) -> Path:
    """A trial's run directory."""
    return trial_folder(plan, number) / LOGS / "version_0"


def run_trial(plan: Plan, trial: Trial, watch: Callable[[int, float], None]) -> float:
    """Fit with the trial's parameters, with what it prints in ``log.txt``.

    Args:
        plan: what the trials have in common.
        trial: one whose parameters are drawn.
        watch: called after every epoch, see `ReportLoss`.

    Returns:
        The lowest val/loss of all epochs, which is that of the checkpoint that ``fit`` keeps and tests.

    Raises:
        TrialPruned: with the reason, if the trial was stopped early.
        KeyboardInterrupt: after Ctrl-C.
        Exception: whatever made the trial fail; the traceback is in its log, unless the mistake is the user's.
    """
    folder = trial_folder(plan, trial.number)
    folder.mkdir(parents=True)
    searched = [option(key, value) for key, value in trial.params.items()]
    words = [*plan.words, *searched, option("trainer.default_root_dir", str(folder))]
    cli = TrialCLI.__new__(TrialCLI)
    cli.reporting = ReportLoss(trial, watch)
    with (folder / "log.txt").open("w") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        print(shlex.join(["python", "-m", "aeanomaly", "fit", *words]), flush=True)
        try:
            run_cli(cli, "fit", words)
        except UserError as error:
            print(f"error: {error}")
            raise
        except TrialPruned as reason:
            print(f"pruned: {reason}")
            raise
        except SystemExit:  # this is what Lightning makes of Ctrl-C
            raise KeyboardInterrupt from None
        except Exception:
            traceback.print_exc()
            raise
    if cli.reporting.pruned:
        raise TrialPruned(cli.reporting.pruned)
    if not math.isfinite(cli.reporting.best):
        raise UserError("no epoch ended with a validation; see trainer.max_epochs, trainer.check_val_every_n_epoch")
    return cli.reporting.best
