"""The line of an epoch where there is no terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aeanomaly.commands.main import main
from tests.conftest import DEBUG


def test_it_is_one_epoch_of_so_many_or_one_step_of_so_many(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["fit", "--config", DEBUG, "--trainer.default_root_dir", str(tmp_path), "--trainer.callbacks"]
    words += ["[{class_path: aeanomaly.callbacks.fit_scores.FitScores}]"]
    assert main([*words, "--trainer.max_epochs", "2", "--trainer.check_val_every_n_epoch", "1"]) == 0
    steps = ["--trainer.max_epochs=-1", "--trainer.max_steps", "60", "--trainer.val_check_interval", "60"]
    assert main([*words, *steps, "--trainer.check_val_every_n_epoch", "null"]) == 0
    lines = re.findall(r"^epoch (\S+)  (step \S+)?", capfd.readouterr().out, re.MULTILINE)
    assert lines[:2] == [("1/2", ""), ("2/2", "")]
    numbers, steps_done = zip(*lines[2:], strict=True)
    assert numbers[:2] == ("1", "2")
    assert re.fullmatch(r"step \d+/60", steps_done[0])
    assert steps_done[-1] == "step 60/60"
