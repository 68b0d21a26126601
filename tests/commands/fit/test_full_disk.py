"""A disk that fills up during a fit: one line that says what to do, and no file that was there is harmed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from aeanomaly.commands.main import main
from tests.conftest import DEBUG

resource = pytest.importorskip("resource", reason="limits the size of files by POSIX")

LAST = "aeanomaly.callbacks.last_checkpoint.LastCheckpoint"
WORDS = ["fit", "--config", DEBUG, "--trainer.callbacks", "[]", "--trainer.callbacks+", LAST]


class DiskFills(L.Callback):
    """From an epoch on, no file grows beyond a size. Python ignores the signal of that: writing raises an error.

    Args:
        epoch: counted from 0.
        room: in bytes.
    """

    def __init__(self, epoch: int, room: int) -> None:
        self.epoch, self.room = epoch, room

    def on_train_epoch_start(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.current_epoch == self.epoch:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.room, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.fixture(autouse=True)
def _limit_restored() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def filling(epoch: int, room: int) -> list[str]:
    """Options that have the disk fill up."""
    options = f"{{class_path: {__name__}.DiskFills, init_args: {{epoch: {epoch}, room: {room}}}}}"
    return ["--trainer.callbacks+", options]


@pytest.mark.parametrize(("room", "says"), [(50_000, "last.ckpt: File too large"), (100, "version_0: File too large")])
def test_one_line_and_the_old_checkpoint_stays(
    room: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the second case the log cannot grow either, which TensorBoard finds out in a thread of its own."""
    monkeypatch.chdir(tmp_path)
    last = Path("lightning_logs", "version_0", "checkpoints", "last.ckpt")
    assert main([*WORDS, "--trainer.max_epochs", "2", *filling(1, room)]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1, error
    assert says in error[0]
    assert error[0].endswith(
        f"{last} is whole: make room, then resume with: python -m aeanomaly fit --ckpt_path {last}"
    )
    assert torch.load(last, weights_only=True)["epoch"] == 0
    assert [path.name for path in last.parent.iterdir()] == ["last.ckpt"]


def test_before_any_checkpoint_nothing_is_left_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--trainer.max_epochs", "1", "--trainer.default_root_dir", str(tmp_path)]
    assert main([*WORDS, *words, *filling(0, 50_000)]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1, error
    assert error[0].endswith("nothing is left to resume: make room, then run it again")
    assert not list(tmp_path.glob("lightning_logs/*"))
