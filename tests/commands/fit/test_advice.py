"""The commands that a fit advises can be pasted into a shell, wherever the run lies."""

from __future__ import annotations

import errno
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aeanomaly.commands.fit import mistakes
from aeanomaly.commands.main import main
from aeanomaly.data.sources.digits import Digits
from aeanomaly.data.sources.folder import PictureFolder
from tests.commands.fit.test_resume import sending, status_of
from tests.conftest import DEBUG

PLACE = "one's own runs"  # a blank and an apostrophe


def advised(said: str, before: str) -> list[str]:
    """The words, as a shell reads them, of the command that follows a text in its line."""
    (line,) = [line for line in said.splitlines() if before in line]
    return shlex.split(line.partition(before)[2])


def words(folder: Path) -> list[str]:
    fit = ["fit", "--config", DEBUG, "--trainer.callbacks", "[]", "--trainer.max_epochs", "1"]
    last = "aeanomaly.callbacks.last_checkpoint.LastCheckpoint"
    return [*fit, "--trainer.callbacks+", last, "--trainer.default_root_dir", str(folder / PLACE)]


def test_after_a_signal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of([*words(tmp_path), *sending(step=3, number=15)]) == 143
    last = tmp_path / PLACE / "lightning_logs" / "version_0" / "checkpoints" / "last.ckpt"
    assert last.is_file()
    resume = ["python", "-m", "aeanomaly", "fit", "--ckpt_path", str(last)]
    assert advised(capsys.readouterr().out, "Resume with: ") == resume


def test_of_a_finished_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(tmp_path)) == 0
    logs = tmp_path / PLACE / "lightning_logs"
    assert advised(capsys.readouterr().out, "TensorBoard: ") == ["tensorboard", "--logdir", str(logs)]
    assert main(["fit", f"--resume={logs / 'version_0'}"]) == 2
    further = advised(capsys.readouterr().err, "to train it further: ")
    assert further[5:] == [str(logs / "version_0" / "checkpoints" / "last.ckpt"), "--trainer.max_epochs", "N"]


def test_on_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Path(PLACE, "last.ckpt")
    monkeypatch.setattr(mistakes, "kept_checkpoint", lambda trainer: kept)
    monkeypatch.setattr(mistakes, "_folder", lambda trainer: PLACE)
    said = mistakes.users_mistake(OSError(errno.ENOSPC, "full"), trainer=object())  # type: ignore[arg-type]
    assert advised(said, "resume with: ")[-1] == str(kept)


@pytest.mark.parametrize(
    ("training", "kind", "advice"),
    [
        (True, Digits, "data.batch_size (64) or the sizes of model.net"),
        (False, Digits, "data.eval_batch_size (2048) or the sizes of model.net"),
        (True, PictureFolder, "data.batch_size (64) or data.size or the sizes of model.net"),
        (True, None, "the sizes of model.net"),
    ],
)
def test_out_of_memory(training: bool, kind: Any, advice: str, tmp_path: Path) -> None:
    folder = {"folder": str(tmp_path)} if kind is PictureFolder else {}
    trainer: Any = SimpleNamespace(training=training, datamodule=kind(normal_classes=[1], **folder) if kind else None)
    error = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 400000 bytes.")
    assert mistakes.users_mistake(error, trainer) == f"not enough memory for 400000 bytes: lower {advice}"
