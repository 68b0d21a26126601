"""What a sweep shows: the settings of a trial, the table of the best trials, and best.yaml."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from optuna import Study
from optuna.trial import FrozenTrial, TrialState
from rich import box
from rich.console import Console
from rich.table import Table

from aeanomaly.commands.fit.options import plain_key
from aeanomaly.commands.sweep.plan import Plan
from aeanomaly.commands.sweep.study import ended
from aeanomaly.commands.tables import print_whole
from aeanomaly.runs.files import read_config, write_whole
from aeanomaly.runs.finding import LOGS
from aeanomaly.runs.hyperparameters import short_key


def parameters(params: Mapping[str, Any]) -> str:
    """Settings in one line, by their short names."""
    return ", ".join(f"{name} {value}" for name, value in _shown(params).items())


def _shown(params: Mapping[str, Any]) -> dict[str, str]:
    """Settings as people read them: short names and few digits."""
    known = [plain_key(key) for key in params]
    values = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in params.values())
    return {short_key(key, known): value for key, value in zip(known, values, strict=True)}


def print_report(study: Study, plan: Plan, root: str | None, console: Console) -> bool:
    """Show the best trials, write best.yaml and say how to use it.

    Args:
        root: ``trainer.default_root_dir`` of the base config, where a run of best.yaml shall be.

    Returns:
        Whether there is a best one.
    """
    trials = ended(study)
    complete, pruned, failed = (
        [trial for trial in trials if trial.state == state]
        for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    )
    best = sorted(complete, key=lambda trial: (trial.value, trial.number))
    told = f"Study {plan.study}: complete {len(complete)}, pruned {len(pruned)}, failed {len(failed)}."
    if failed and len(complete) + len(pruned) < plan.trials:
        told += " The same command tries others in place of the failed ones."
    console.print(told)
    if not best:
        return False
    print_whole(console, _table(best[:5]))
    console.print("Run the best settings, and test them:")
    console.print(f"  python -m aeanomaly fit --config {shlex.quote(str(_write_best(plan, best[0], root)))}")
    console.print("See every trial:")
    console.print(f"  python -m aeanomaly compare {shlex.quote(str(plan.out))} --sort val/loss")
    return True


def _table(best: Sequence[FrozenTrial]) -> Table:
    table = Table(title="lowest val/loss of normal images", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("trial", "val/loss", "epochs", *_shown(best[0].params)):
        table.add_column(heading, justify="right", no_wrap=True)
    for trial in best:
        table.add_row(str(trial.number), f"{trial.value:.6g}", str(trial.last_step), *_shown(trial.params).values())
    return table


def _write_best(plan: Plan, best: FrozenTrial, root: str | None) -> Path:
    """Write the best trial's complete config, for a run outside the sweep's folder."""
    config = read_config(plan.trial_folder(best.number) / LOGS / "version_0" / "config.yaml", f"trial {best.number}")
    config["trainer"]["default_root_dir"] = root
    comment = [
        f"# Trial {best.number} of the study {plan.study}: the lowest val/loss of normal images, {best.value:.6g}.",
        *(f"# {plain_key(key)}: {value}" for key, value in best.params.items()),
    ]
    path = plan.out / "best.yaml"
    write_whole(path, "\n".join([*comment, yaml.safe_dump(config, sort_keys=False)]))
    return path
