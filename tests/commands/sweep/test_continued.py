"""A sweep that was interrupted, or shall get more trials, goes on as if nothing had been."""

from __future__ import annotations

from pathlib import Path

import pytest

from aeanomaly.runs.lock import alone_in
from tests.commands.sweep.parts import SMALL, params_of, study_of, sweep

optuna = pytest.importorskip("optuna", reason="optuna is not installed: pip install 'aeanomaly[sweep]'")


def test_the_same_command_only_adds_what_is_missing(
    done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert sweep(tmp_path / "small.yaml", out, "--trials", "2") == 0
    assert len(params_of(out)) == 2
    assert sweep(tmp_path / "small.yaml", out) == 0
    # a study in two parts is that in one
    assert params_of(out) == params_of(done)
    assert [trial.value for trial in study_of(out).trials] == [trial.value for trial in study_of(done).trials]
    capsys.readouterr()
    assert sweep(tmp_path / "small.yaml", out) == 0
    text = capsys.readouterr().out
    assert "3 of 3 trials are finished" in text
    assert len(params_of(out)) == 3
    assert f"python -m aeanomaly fit --config {out / 'best.yaml'}" in text


def test_a_trial_whose_process_died_is_begun_again(done: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert sweep(tmp_path / "small.yaml", out, "--trials", "1") == 0
    lost = params_of(done)[1]
    study = study_of(out)
    study.enqueue_trial(lost)
    distributions = study.trials[0].distributions
    study.ask(distributions)  # and never told: its state stays RUNNING
    (out / "trial_001" / "lightning_logs" / "version_0").mkdir(parents=True)
    assert sweep(tmp_path / "small.yaml", out) == 0
    states = [trial.state.name for trial in study_of(out).trials]
    assert states == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    params = params_of(out)
    assert params[1] == params[2] == lost
    assert [params[0], *params[2:]] == params_of(done)


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    press = {
        "class_path": "tests.commands.sweep.parts.PressCtrlC",
        "init_args": {"pressed": str(tmp_path / "pressed")},
    }
    callbacks = [*SMALL["overrides"]["trainer.callbacks"], press]
    changes = {"overrides": SMALL["overrides"] | {"trainer.callbacks": callbacks}, "trials": 2}
    (tmp_path / "pressed").touch()
    assert sweep(tmp_path / "small.yaml", out, "--trials", "1", **changes) == 0
    (tmp_path / "pressed").unlink()
    capsys.readouterr()
    assert sweep(tmp_path / "small.yaml", out, **changes) == 130
    text = capsys.readouterr().out
    assert "The same command continues" in text
    assert "best.yaml" in text
    assert sweep(tmp_path / "small.yaml", out, **changes) == 0
    assert [trial.state.name for trial in study_of(out).trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert params_of(out)[1] == params_of(out)[2]


def test_sigterm_ends_a_sweep_with_its_own_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    send = {"class_path": "tests.commands.fit.test_resume.SendSignal", "init_args": {"step": 3, "number": 15}}
    callbacks = [*SMALL["overrides"]["trainer.callbacks"], send]
    changes = {"overrides": SMALL["overrides"] | {"trainer.callbacks": callbacks}}
    assert sweep(tmp_path / "small.yaml", tmp_path / "out", **changes) == 143
    assert capsys.readouterr().err == (
        "Terminated: the trial that was running is begun again. The same command continues.\n"
    )


def test_a_study_takes_no_trials_that_cannot_be_compared(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    longer = SMALL["overrides"] | {"trainer.max_epochs": 1}
    assert sweep(done.parent / "other.yaml", done, "--trials", "4", overrides=longer) == 2
    assert "was begun with another overrides" in capsys.readouterr().err
    assert len(params_of(done)) == 3


def test_two_sweeps_do_not_share_a_folder(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with alone_in(done, "sweep"):
        assert sweep(done.parent / "again.yaml", done) == 2
    assert "another sweep is at work in" in capsys.readouterr().err
