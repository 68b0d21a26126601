"""What ends a sweep: the table of the best trials, and best.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from rich import box
from rich.table import Table

from aeanomaly.commands.fit.options import option
from aeanomaly.commands.sweep.plan import Plan, plain_key
from aeanomaly.commands.sweep.trial import resolve, run_of_trial
from aeanomaly.runs.files import write_whole
from aeanomaly.runs.hyperparameters import short_key


def ranked(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The complete trials, lowest val/loss first; of equal ones the earlier."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return sorted(complete, key=lambda trial: (trial.value, trial.number))


def parameters(params: dict[str, Any]) -> str:
    """Settings in one line, by their short names."""
    names = _short(list(params))
    return ", ".join(f"{name} {_text(value)}" for name, value in zip(names, params.values(), strict=True))


def table_of_best(trials: Sequence[FrozenTrial], count: int = 5) -> Table:
    """The best few trials with their parameters."""
    best = ranked(trials)[:count]
    table = Table(title="lowest val/loss of normal images", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    keys = list(best[0].params) if best else []
    for heading in ("trial", "val/loss", "epochs", *_short(keys)):
        table.add_column(heading, justify="right", no_wrap=True)
    for trial in best:
        values = [_text(trial.params[key]) for key in keys]
        table.add_row(str(trial.number), f"{trial.value:.6g}", str(len(trial.intermediate_values)), *values)
    return table


def _short(keys: list[str]) -> list[str]:
    plain = [plain_key(key) for key in keys]
    return [short_key(key, plain) for key in plain]


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write_best(plan: Plan, best: FrozenTrial, root: str | None) -> Path:
    """Write the best trial's complete config, for a run outside the sweep's folder, as ``best.yaml``.

    Args:
        plan: of the sweep.
        best: the trial.
        root: ``trainer.default_root_dir`` of the base config.
    """
    config = run_of_trial(plan, best.number) / "config.yaml"
    _, text = resolve(["--config", str(config), option("trainer.default_root_dir", root)])
    comment = [
        f"# Trial {best.number} of the study {plan.study}: the lowest val/loss of normal images, {best.value:.6g}.",
        *(f"# {plain_key(key)}: {value}" for key, value in best.params.items()),
    ]
    path = plan.out / "best.yaml"
    write_whole(path, "\n".join([*comment, text]))
    return path
