"""A checkpoint that contradicts the options, is damaged or of another project is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from aeanomaly.commands.main import main
from aeanomaly.runs.checkpoints import FREE_OF_CHECKPOINT, find_conflict
from tests.conftest import DEBUG

FIT = ["fit", "--config", DEBUG]


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (["--model.net.code_size", "7"], "code_size is 7 here but 5 in"),
        (["--seed_everything", "1"], "is 1 here but 9 in the checkpoint"),
        (["--data.anomaly_classes", "[1]"], "data.anomaly_classes is [1] here but [0] in the checkpoint"),
    ],
)
def test_options_that_contradict_the_checkpoint_are_refused(
    option: list[str], says: str, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = str(run_dir / "checkpoints" / "last.ckpt")
    assert main(["test", "--ckpt_path", last, "--trainer.default_root_dir", str(tmp_path), *option]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert says in error
    assert not list(tmp_path.glob("lightning_logs/*"))


def test_damaged_checkpoint_is_refused(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / "damaged.ckpt"
    damaged.write_bytes((run_dir / "checkpoints" / "last.ckpt").read_bytes()[:5000])
    assert main(["test", "--config", str(run_dir / "config.yaml"), "--ckpt_path", str(damaged)]) == 2
    assert "is not a readable checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "command", "says"),
    [
        ("no version", "test", "is not a readable checkpoint"),
        ("other weights", "test", "is of another net, or of another program: Missing key(s) in state_dict"),
        ("other weights", "fit", "is of another net, or of another program: Missing key(s) in state_dict"),
        ("weights only", "fit", "holds weights only: they can be tested, but `fit` cannot go on from them"),
    ],
)
def test_checkpoint_of_another_project_is_refused(
    change: str, command: str, says: str, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    if change == "no version":
        del content["pytorch-lightning_version"]
    elif change == "weights only":
        del content["optimizer_states"]
    else:
        del content["hyper_parameters"]
        content["state_dict"] = {"layer.weight": torch.zeros(3)}
    other = tmp_path / "other.ckpt"
    torch.save(content, other)
    words = ["--config", str(run_dir / "config.yaml"), "--ckpt_path", str(other)]
    assert main([command, *words, "--trainer.default_root_dir", str(tmp_path)]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len([line for line in error if says in line]) == 1
    assert not [line for line in error if line.startswith("Traceback")]
    assert not list(tmp_path.glob("lightning_logs/*"))


def test_thresholds_may_differ_from_those_of_the_checkpoint() -> None:
    saved = {"net": {"code_size": 5}, "thresholds": [{"value": 3}]}
    given = {"net": {"code_size": 5}, "thresholds": [{"value": 4}]}
    assert find_conflict(given, saved) is not None
    assert find_conflict({key: given[key] for key in given if key not in FREE_OF_CHECKPOINT}, saved) is None
