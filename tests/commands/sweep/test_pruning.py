"""Trials that are stopped early, or fail, do not stop the sweep."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from aeanomaly.runs.reading import read_run
from tests.commands.sweep.parts import SMALL, study_of, sweep

optuna = pytest.importorskip("optuna", reason="optuna is not installed: pip install 'aeanomaly[sweep]'")


def test_a_hopeless_trial_is_pruned_and_a_failed_one_does_not_stop_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    changes: dict[str, Any] = {
        "space": {"model.optimizer.lr": {"choices": [0.01, 1e-9, -1.0]}},
        "overrides": SMALL["overrides"] | {"trainer.max_epochs": 4},
        "min_epochs": 2,
        "startup_trials": 1,
    }
    assert sweep(tmp_path / "small.yaml", out, "--trials", "1", **changes, seed=good_first_seed()) == 0
    study = study_of(out)
    for rate in (-1.0, 1e-9):
        study.enqueue_trial({"model.optimizer.lr": rate})
    capsys.readouterr()
    assert sweep(tmp_path / "small.yaml", out, **changes, seed=good_first_seed()) == 0
    text = capsys.readouterr().out
    complete, failed, pruned = study_of(out).trials
    assert [trial.state.name for trial in (complete, failed, pruned)] == ["COMPLETE", "FAIL", "PRUNED"]
    assert re.search(r"trial 1 .*failed, .*Invalid learning rate: -1.*trial_001/log.txt", text)
    assert "trial 2 (lr 1e-09): pruned, hopeless after epoch 2" in text
    assert "complete 1, pruned 1, failed 1" in text
    run = read_run(out / "trial_002" / "lightning_logs" / "version_0")
    assert (run.status, run.reason) == ("unfinished", "pruned by its sweep")
    assert run.values["epochs"] == 2


def good_first_seed() -> int:
    """A seed with which the first trial draws the first of three choices."""
    import numpy as np

    for seed in range(100):
        state = int(np.random.SeedSequence([seed, 0]).generate_state(1)[0])
        trial = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=state)).ask()
        if trial.suggest_categorical("model.optimizer.lr", [0.01, 1e-9, -1.0]) == 0.01:
            return seed
    raise AssertionError("there is one")


def test_a_net_that_diverges_is_pruned_without_any_pruner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    changes = {"space": {"model.optimizer.lr": {"choices": [1e38]}}, "pruner": "none", "trials": 1}
    assert sweep(tmp_path / "small.yaml", out, **changes) == 2
    assert [trial.state.name for trial in study_of(out).trials] == ["PRUNED"]
    text, error = capsys.readouterr()
    assert "pruned, training diverged: the loss is nan at step 2" in text
    assert "no trial could be completed" in error
    assert error.count("\n") == 1


def test_hyperband(tmp_path: Path) -> None:
    assert sweep(tmp_path / "small.yaml", tmp_path / "out", pruner="hyperband", trials=2) == 0
