"""The study: opened or continued, its next trial, and what became of the others."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from aeanomaly.commands.sweep.plan import Plan
from aeanomaly.commands.sweep.space import Space
from aeanomaly.errors import UserError
from aeanomaly.runs.files import read_config

FAILED = "failed"  # marks a trial that failed by itself, not by being interrupted


@contextlib.contextmanager
def opened_study(plan: Plan, space: Space) -> Iterator[optuna.Study]:
    """The study, created or continued, while its storage is open.

    Raises:
        UserError: if the storage cannot be used, or holds a study of that name with other settings.
    """
    storage = None
    try:
        try:
            storage = RDBStorage(plan.storage or f"sqlite:///{plan.out / 'study.db'}")
            study = _continued(storage, plan, space)
        except UserError:
            raise
        except Exception as error:  # sqlalchemy's, the database driver's, or its absence
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise UserError(f"cannot use the storage of study {plan.study!r}: {reason}") from None
        yield study
    finally:
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()


def _continued(storage: RDBStorage, plan: Plan, space: Space) -> optuna.Study:
    """Create the study, or continue it.

    Trials that were running when their process died are told to have failed, and `next_trial` draws their settings
    again. Optuna's heartbeat with its retry callback would do neither here: it takes a trial for dead only after a time
    of grace, so that the same command, given at once, would go on with other settings; here the lock of the folder
    tells that nobody is at work.

    Call it while the folder is held, so that no running trial belongs to a living process.

    Raises:
        UserError: if it holds a study of that name with other settings.
    """
    study = optuna.create_study(
        storage=storage,
        study_name=plan.study,
        direction="minimize",
        load_if_exists=True,
        pruner=_pruner(plan),
    )
    settings, known = _settings(plan, space), study.user_attrs.get("settings")
    if known is None:
        if study.get_trials(deepcopy=False) or study.direction != StudyDirection.MINIMIZE:
            raise UserError(f"the study {plan.study!r} was not made by `sweep`: choose another name for yours")
        if any(plan.out.glob("trial_*")):
            raise UserError(f"{plan.out} holds trials of another study: choose another --out")
        study.set_user_attr("settings", settings)
    elif known != settings:
        other = " and ".join(key for key in settings if settings[key] != known.get(key))
        raise UserError(
            f"the study {plan.study!r} was begun with another {other}, so that its trials cannot be compared with new "
            "ones: give this sweep another study name"
        )
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    return study


def _pruner(plan: Plan) -> BasePruner:
    if plan.pruner == "median":
        return MedianPruner(n_startup_trials=plan.startup_trials, n_warmup_steps=plan.min_epochs)
    return HyperbandPruner(min_resource=plan.min_epochs) if plan.pruner == "hyperband" else NopPruner()


def _settings(plan: Plan, space: Space) -> dict[str, Any]:
    """What must be the same for all trials of a study."""
    contents = [read_config(Path(name)) for name in plan.base]
    settings: dict[str, Any] = {
        "base": hashlib.sha256(json.dumps(contents, default=str).encode()).hexdigest(),
        "overrides": list(plan.fixed),
        "space": {key: repr(distribution) for key, distribution in space.items()},
    }
    if plan.storage is not None:  # of two processes on one study each would take the other's trials for dead ones
        settings["folder"] = str(plan.out.resolve())
    return settings


def next_trial(study: optuna.Study, plan: Plan, space: Space) -> Trial:
    """A trial with its parameters drawn.

    The sampler starts from the seed and the number of trials that have ended by themselves. So the same trials are
    drawn whether or not the sweep was interrupted: after an interruption, those of the lost trial again. A sampler
    seeded once would, in a process that continues a study, draw the first trials again.
    """
    seed = int(np.random.SeedSequence([plan.seed, len(ended(study))]).generate_state(1)[0])
    study.sampler = TPESampler(n_startup_trials=plan.startup_trials, seed=seed)
    return study.ask({**space})


def ended(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that ended by themselves, not by an interruption: complete, pruned and failed ones."""
    trials = study.get_trials(deepcopy=False)
    return [
        each for each in trials if each.state in (TrialState.COMPLETE, TrialState.PRUNED) or FAILED in each.user_attrs
    ]
