"""Which checkpoint a fit tests, and what it says where there is none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from aeanomaly.commands.fit.options import complete_options
from aeanomaly.commands.main import main
from aeanomaly.runs.finding import find_checkpoint
from tests.conftest import PLAIN

FIT = ["fit", *PLAIN]


def test_a_fit_that_ends_before_its_first_validation_says_that_it_is_not_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*FIT, "--trainer.max_epochs", "1", "--trainer.max_steps", "7"]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("aeanomaly: error: ")]
    assert len(error) == 1
    assert "not tested: no validation has come to its end" in error[0]
    assert "max_steps 7" in error[0]
    assert "FitScores" not in error[0]
    assert not list(tmp_path.rglob("test_scores.csv"))


@pytest.mark.parametrize("option", ["max_epochs", "max_steps", "limit_val_batches"])
def test_a_fit_that_could_not_be_tested_does_not_begin(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*FIT, f"--trainer.{option}", "0"]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith(f"aeanomaly: error: trainer.{option} is 0: ")
    assert not list(tmp_path.rglob("version_*"))


@pytest.mark.parametrize(("verb", "part"), [("test", "test"), ("validate", "val"), ("predict", "predict")])
def test_a_verb_without_any_image_is_refused(
    verb: str,
    part: str,
    run_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint = str(run_dir / "checkpoints" / "last.ckpt")
    assert main([verb, "--ckpt_path", checkpoint, f"--trainer.limit_{part}_batches", "0"]) == 2
    assert f"trainer.limit_{part}_batches is 0: there would be nothing to {verb}; raise it" in capsys.readouterr().err
    assert not list(tmp_path.rglob("version_*"))


def test_the_checkpoint_of_the_callback_with_a_monitor_is_tested_wherever_it_is_listed(
    fit: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    last = "{class_path: aeanomaly.callbacks.last_checkpoint.LastCheckpoint}"
    best = "{class_path: lightning.pytorch.callbacks.ModelCheckpoint, init_args: {monitor: val/loss, filename: best}}"
    first = "{class_path: aeanomaly.callbacks.fit_scores.FitScores}"
    # The rate is so high that the last epoch is not the best.
    rate = ["--model.optimizer.lr", "0.1", "--trainer.max_epochs", "4"]
    runs = [
        fit(*rate, "--trainer.callbacks", f"[{first}, {order}]") for order in (f"{last}, {best}", f"{best}, {last}")
    ]
    said = re.findall(r"Checkpoint: .*/(\S+)", capsys.readouterr().out)
    assert said == ["best.ckpt", "best.ckpt"]
    assert (runs[0] / "test_scores.csv").read_text() == (runs[1] / "test_scores.csv").read_text()
    ends = [
        torch.load(runs[0] / "checkpoints" / f"{name}.ckpt", weights_only=True)["epoch"] for name in ("best", "last")
    ]
    assert ends[0] < ends[1]


@pytest.mark.parametrize(("command", "title"), [("test", "test images"), ("validate", "validation images")])
def test_there_is_one_table_and_it_says_what_was_evaluated(
    command: str, title: str, run_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    last = run_dir / "checkpoints" / "last.ckpt"
    capfd.readouterr()
    assert main([command, "--ckpt_path", str(last), "--trainer.default_root_dir", str(tmp_path)]) == 0
    said = capfd.readouterr().out
    assert said.count(title) == 1
    assert "Test metric" not in said
    assert "Validate metric" not in said
    assert f"Checkpoint: {last}" in said


@pytest.mark.parametrize("verb", ["test", "validate", "predict"])
def test_a_run_stands_for_the_checkpoint_that_was_tested(
    verb: str, run_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, "--ckpt_path", str(run_dir), "--trainer.default_root_dir", str(tmp_path)]) == 0
    assert complete_options(verb, ["--ckpt_path", str(run_dir)])[-1] == f"--ckpt_path={find_checkpoint(run_dir)}"
    assert find_checkpoint(run_dir).name != "last.ckpt"
    capfd.readouterr()
    assert main([verb, f"--ckpt_path={tmp_path}"]) == 2
    assert capfd.readouterr().err.startswith(f"aeanomaly: error: no checkpoint in {tmp_path}: name one, or a run")


def test_without_a_logger_runs_do_not_share_their_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*FIT, "--trainer.max_epochs", "1", "--trainer.logger", "false"]
    assert main(words) == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.ckpt")}
    assert sorted(path.name for path in before) == ["best-epoch=00.ckpt", "last.ckpt"]
    assert main(words) == 0
    assert {path: path.read_bytes() for path in before} == before
    assert len(list(tmp_path.rglob("*.ckpt"))) == 4
    captured = capsys.readouterr()
    assert "Checkpoint: checkpoints/version_1/best-epoch=00.ckpt" in captured.out
    assert "not empty" not in captured.err
    assert main([*words, "--model.optimizer.lr", "-1"]) == 2
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_a_profiler_shows_its_summary(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["--trainer.default_root_dir", str(tmp_path), "--trainer.max_epochs", "1", "--trainer.profiler", "simple"]
    assert main([*FIT, *words]) == 0
    assert capfd.readouterr().out.count("FIT Profiler Report") == 1


def test_predictions_are_no_run_to_compare(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = str(run_dir / "checkpoints" / "last.ckpt")
    for command in ("test", "predict"):
        assert main([command, "--ckpt_path", last, "--trainer.default_root_dir", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "lightning_logs"), "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert (Path(entry["run"]).name, entry["status"]) == ("version_0", "ok")
