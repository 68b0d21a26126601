"""What the YAML of a sweep says, checked without anything heavy."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aeanomaly.errors import UserError
from aeanomaly.runs.config_files import read_config
from aeanomaly.runs.layout import LOGS

PRUNERS = ("median", "hyperband", "none")

_KEYS = ("base", "overrides", "space", "trials", "startup_trials", "min_epochs", "pruner", "seed", "study", "storage")
# The sweep decides where a trial writes, and every trial is trained from its start.
_OURS = ("config", "ckpt_path", "print_config", "trainer.default_root_dir", "trainer.logger", "trainer.fast_dev_run")
# Among runs that are judged on other images, or whose training set is spoilt on purpose, the lowest loss means nothing.
_WHAT_IS_JUDGED = (
    "seed_everything",
    "data",
    "data.class_path",
    "data.normal_classes",
    "data.anomaly_classes",
    "data.val_fraction",
    "data.contamination",
    "data.split_seed",
    "data.source",
)
_NO_INFLUENCE = ("model.scores", "model.thresholds")


@dataclass(frozen=True)
class Plan:
    """A sweep as it was asked for.

    Attributes:
        base: config files, stacked as by ``fit``.
        fixed: options of every trial, as words of the command line; they stand after the files.
        space: by dotted key, what the YAML says about its values; see `read_space`.
        trials: how many trials shall have finished in the end, pruned ones included.
        startup_trials: how many are drawn at random, and not pruned, before there is something to go by.
        min_epochs: epochs before which no trial is pruned.
        pruner: one of `PRUNERS`.
        seed: of the sampler.
        study: name of the study.
        storage: URL of the study's database; None for an SQLite file in ``out``.
        out: the folder of the sweep.
    """

    base: tuple[str, ...]
    fixed: tuple[str, ...]
    space: dict[str, Any]
    trials: int
    startup_trials: int
    min_epochs: int
    pruner: str
    seed: int
    study: str
    storage: str | None
    out: Path

    @property
    def words(self) -> list[str]:
        """The options that all trials share, for ``fit``."""
        return [*(word for file in self.base for word in ("--config", file)), *self.fixed]


def option(key: str, value: Any) -> str:
    """One word of the command line that sets a key, such as ``--model.net.code_size=5``."""
    return f"--{key}={value if isinstance(value, str) else json.dumps(value)}"


def read_plan(file: Path, out: Path | None = None, trials: int | None = None, extra: Sequence[str] = ()) -> Plan:
    """Read and check the YAML of a sweep.

    Args:
        file: the YAML.
        out: the sweep's folder; by default ``lightning_logs/sweep_<study>``.
        trials: what the file says, unless given.
        extra: further options of every trial, as words of the command line.

    Raises:
        UserError: for whatever is missing, unknown or out of range.
    """
    content = read_config(file)
    for key in content:
        if key in ("monitor", "direction", "metric"):
            raise UserError(
                f"{file}: {key} cannot be chosen: a sweep minimises val/loss of normal images, so that no "
                "anomaly has a part in the choice; drop that key"
            )
        if key not in _KEYS:
            close = difflib.get_close_matches(str(key), _KEYS, n=1)
            raise UserError(
                f"{file}: unknown key {key!r}; "
                + (f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(_KEYS)}")
            )
    base, overrides, space = content.get("base"), content.get("overrides") or {}, content.get("space")
    base = [base] if isinstance(base, str) else base
    if not base or not isinstance(base, list) or not all(isinstance(name, str) for name in base):
        raise UserError(f"{file}: base must list config files, such as [configs/base.yaml]")
    for name in base:
        read_config(Path(name), f"{file}: base")
    if not space or not isinstance(space, dict):
        raise UserError(
            f"{file}: space must hold the keys to search, such as model.optimizer.lr: {{low: 0.001, "
            "high: 0.1, log: true}"
        )
    if not isinstance(overrides, dict):
        raise UserError(f"{file}: overrides must hold dotted keys and values")
    fixed = [*(option(key, value) for key, value in overrides.items()), *extra]
    _check_keys(file, space, fixed)
    pruner = content.get("pruner", "median")
    pruner = "none" if pruner is None else pruner
    if pruner not in PRUNERS:
        raise UserError(f"{file}: pruner must be one of {', '.join(PRUNERS)}, got {pruner!r}")
    study = content.get("study", file.stem)
    if not isinstance(study, str) or not study or study.startswith(".") or set(study) & set("/\\"):
        raise UserError(f"{file}: study must be a name that can be that of a folder, got {study!r}")
    storage = content.get("storage")
    if storage is not None and (not isinstance(storage, str) or "://" not in storage):
        raise UserError(f"{file}: storage must be a URL such as sqlite:///study.db, got {storage!r}")
    return Plan(
        base=tuple(base),
        fixed=tuple(fixed),
        space=space,
        trials=trials if trials is not None else _count(file, content, "trials", None, 1),
        startup_trials=_count(file, content, "startup_trials", 5, 1),
        min_epochs=_count(file, content, "min_epochs", 3, 1),
        pruner=pruner,
        seed=_count(file, content, "seed", 0, 0),
        study=study,
        storage=storage,
        out=out if out is not None else Path(LOGS, f"sweep_{study}"),
    )


def _count(file: Path, content: Mapping[str, Any], key: str, default: int | None, least: int) -> int:
    value = content.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        given = f"got {value!r}" if key in content else "it is missing"
        raise UserError(f"{file}: {key} must be a whole number, at least {least}; {given}")
    return value


def _check_keys(file: Path, space: Mapping[Any, Any], fixed: Sequence[str]) -> None:
    """Refuse what the sweep sets itself, what would make trials incomparable, and what is both fixed and searched."""
    given = [plain_key(word.partition("=")[0]) for word in fixed if word.startswith("-")]
    searched = [plain_key(str(key)) for key in space]
    for key in [*given, *searched]:
        if key in _OURS:
            raise UserError(f"{file}: {key} is set by the sweep itself and can be neither fixed nor searched")
    for key in searched:
        if searched.count(key) > 1:
            raise UserError(f"{file}: space has {key} twice")
        if key in _WHAT_IS_JUDGED:
            raise UserError(
                f"{file}: space has {key}, which decides what trials are trained and judged on, so that "
                "their val/loss could not be compared; to run over its values, use `benchmark`"
            )
        if key.startswith(_NO_INFLUENCE):
            raise UserError(f"{file}: space has {key}, on which val/loss does not depend")
        if key in given:
            raise UserError(f"{file}: {key} is both fixed and in space")


def plain_key(name: str) -> str:
    """The dotted key as people write it: ``model.net.code_size`` for ``--model.net.init_args.code_size``."""
    return name.lstrip("-").replace(".init_args.", ".")
