"""What the YAML of a sweep says, checked without anything heavy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aeanomaly.commands.fit.options import SET_BY_COMMAND, option, plain_key
from aeanomaly.commands.typed_file import typed
from aeanomaly.errors import UserError
from aeanomaly.runs.files import read_config
from aeanomaly.runs.finding import LOGS

_EXAMPLE = "model.optimizer.lr: {low: 0.001, high: 0.1, log: true}"
_SECTIONS = ("trainer", "model", "data", "data.init_args")
# Among runs that are judged on other images, or whose training set is spoilt on purpose, the lowest loss means nothing.
_WHAT_IS_JUDGED = ("seed_everything", "data.", "trainer.limit_", "trainer.overfit_batches")
_SIZES = ("data.batch_size", "data.eval_batch_size")  # of the data, all that does not decide it
_NO_INFLUENCE = ("model.scores", "model.thresholds")


@dataclass
class Plan:
    """A sweep as it was asked for: the keys of its file, each explained in ``configs/sweep/dense.yaml``.

    Attributes:
        fixed: options of every trial, as words of the command line; they stand after the files in ``base``.
        out: the folder of the sweep.

    Raises:
        UserError: if a value is out of range.
    """

    base: list[str]
    space: dict[str, Any]
    trials: int
    study: str
    overrides: dict[str, Any] | None = None
    startup_trials: int = 5
    min_epochs: int = 3
    pruner: Literal["median", "hyperband", "none"] | None = "median"
    seed: int = 0
    storage: str | None = None
    fixed: list[str] = field(init=False)
    out: Path = field(init=False)

    def __post_init__(self) -> None:
        if not self.base:
            raise UserError("base must list config files, such as [configs/base.yaml]")
        for name in self.base:
            read_config(Path(name), "base")
        if not self.space:
            raise UserError(f"space must hold the keys to search, such as {_EXAMPLE}")
        for key, least in (("trials", 1), ("startup_trials", 1), ("min_epochs", 1), ("seed", 0)):
            if getattr(self, key) < least:
                raise UserError(f"{key} must be at least {least}, got {getattr(self, key)}")
        if not self.study or self.study.startswith(".") or set(self.study) & set("/\\"):
            raise UserError(f"study must be a name that can be that of a folder, got {self.study!r}")
        if self.storage is not None and "://" not in self.storage:
            raise UserError(f"storage must be a URL such as sqlite:///study.db, got {self.storage!r}")

    @property
    def words(self) -> list[str]:
        """The options that all trials share, for ``fit``."""
        return [*(word for file in self.base for word in ("--config", file)), *self.fixed]

    def trial_folder(self, number: int) -> Path:
        """Where a trial's log and run lie."""
        return self.out / f"trial_{number:03d}"


def read_plan(file: Path, out: Path | None = None, trials: int | None = None, extra: Sequence[str] = ()) -> Plan:
    """Read and check the YAML of a sweep. A number of trials replaces the file's.

    Args:
        out: the sweep's folder; by default ``lightning_logs/sweep_<study>``.
        extra: further options of every trial, as words of the command line.

    Raises:
        UserError: for whatever is missing, unknown or out of range.
    """
    content = read_config(file)
    for key in ("monitor", "direction", "metric"):
        if key in content:
            raise UserError(
                f"{file}: {key} cannot be chosen: a sweep minimises val/loss of normal images, so that no "
                "anomaly has a part in the choice; drop that key"
            )
    if isinstance(content.get("base"), str):
        content["base"] = [content["base"]]
    if content.get("study") is None:
        content["study"] = file.stem
    plan = typed(Plan, content, str(file))
    plan.fixed = [*(option(key, value) for key, value in (plan.overrides or {}).items()), *extra]
    plan.trials = trials or plan.trials
    plan.out = out if out is not None else Path(LOGS, f"sweep_{plan.study}")
    _check_keys(file, plan.space, plan.fixed)
    return plan


def _check_keys(file: Path, space: Mapping[Any, Any], fixed: Sequence[str]) -> None:
    """Refuse what the sweep sets itself, what would make trials incomparable, and what is both fixed and searched."""
    given = [plain_key(word.partition("=")[0]) for word in fixed if word.startswith("-")]
    searched = [plain_key(str(key)) for key in space]
    for key in [*given, *searched]:
        if key in SET_BY_COMMAND:
            raise UserError(f"{file}: {key} is set by the sweep itself and can be neither fixed nor searched")
    for key in searched:
        if searched.count(key) > 1:
            raise UserError(f"{file}: space has {key} twice")
        if key in _SECTIONS:
            raise UserError(f"{file}: space has {key}, a whole section: name the keys in it, such as {_EXAMPLE}")
        if key.startswith(_WHAT_IS_JUDGED) and key not in _SIZES:
            raise UserError(
                f"{file}: space has {key}, which decides what trials are trained and judged on, so that "
                "their val/loss could not be compared; to run over its values, use `benchmark`"
            )
        if key.startswith(_NO_INFLUENCE):
            raise UserError(f"{file}: space has {key}, on which val/loss does not depend")
        if key in given:
            raise UserError(f"{file}: {key} is both fixed and in space")
