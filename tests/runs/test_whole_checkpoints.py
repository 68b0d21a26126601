"""Checkpoints that are either absent or whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins import AsyncCheckpointIO, TorchCheckpointIO

from aeanomaly.commands.fit.trainer_cli import AnomalyCLI
from aeanomaly.errors import UserError
from aeanomaly.runs.finding import find_checkpoint
from aeanomaly.runs.whole_checkpoints import WholeCheckpoints
from tests.conftest import DEBUG


def test_it_grows_under_a_hidden_name_beside_the_old_one_which_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in a folder for temporary files, from where a copy might be cut short."""
    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"epoch": 1}, path)
    before = path.read_bytes()
    beside: list[Path] = []

    def fill(partial: Path, content: Any) -> int:
        partial.touch()
        beside.extend(file for file in tmp_path.iterdir() if file != path)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(UserError, match=r"cannot write .*last.ckpt: No space left on device"):
        WholeCheckpoints().save_checkpoint({"epoch": 2}, path)
    monkeypatch.undo()
    assert [file.name[0] for file in beside] == ["."]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    WholeCheckpoints().save_checkpoint({"epoch": 2}, str(path))
    assert torch.load(path, weights_only=True) == {"epoch": 2}


def test_a_url_is_left_to_the_stock_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[Any] = []
    monkeypatch.setattr(TorchCheckpointIO, "save_checkpoint", lambda _, *given: saved.append(given))
    WholeCheckpoints().save_checkpoint({"epoch": 1}, "memory://last.ckpt")
    assert saved == [({"epoch": 1}, "memory://last.ckpt", None)]


class BuiltCLI(AnomalyCLI):
    """``fit`` that stops when everything is built."""

    def _run_subcommand(self, subcommand: str) -> None:
        pass


@pytest.mark.parametrize(("plugins", "used"), [([], WholeCheckpoints), (["AsyncCheckpointIO"], AsyncCheckpointIO)])
def test_every_run_has_it_unless_its_config_names_another(plugins: list[str], used: type, tmp_path: Path) -> None:
    words = ["--config", DEBUG, "--trainer.default_root_dir", str(tmp_path)]
    words += [f"--trainer.plugins=lightning.pytorch.plugins.{name}" for name in plugins]
    trainer: Trainer = BuiltCLI("fit", words).trainer
    assert type(trainer.strategy.checkpoint_io) is used


def test_what_a_killed_process_left_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / ".0123.last.ckpt").write_text("half")
    with pytest.raises(UserError, match="no checkpoint in"):
        find_checkpoint(tmp_path)
    (tmp_path / "epoch=3.ckpt").write_text("whole")
    assert find_checkpoint(tmp_path).name == "epoch=3.ckpt"
