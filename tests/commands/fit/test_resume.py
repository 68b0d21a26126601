"""Interrupted and resumed runs end like uninterrupted ones."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from aeanomaly.commands.main import main
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.outputs import Output


class SendSignal(L.Callback):
    """Sends a signal to this process after a given number of steps.

    Args:
        step: global step after which to send it.
        number: of the signal.
        times: how often to send it.
        rank: of the process that does so.
    """

    def __init__(self, step: int, number: int = 2, times: int = 1, rank: int = 0) -> None:
        self.step, self.number, self.times, self.rank = step, number, times, rank

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step and trainer.global_rank == self.rank:
            for _time in range(self.times):
                signal.raise_signal(self.number)  # it is handled before the next one; two by os.kill may become one


def sending(**options: int) -> list[str]:
    """Options that have a signal sent."""
    callback = {"class_path": "tests.commands.fit.test_resume.SendSignal", "init_args": options}
    return ["--trainer.callbacks+", json.dumps(callback)]


class PressingAutoencoder(DenseAutoencoder):
    """Sends SIGINT to this process while it computes its loss for the ``press_at``-th time; 0 for never."""

    press_at = 0

    def training_loss(self, x: Tensor) -> tuple[dict[str, Tensor], Output]:
        PressingAutoencoder.press_at -= 1
        if PressingAutoencoder.press_at == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return super().training_loss(x)


def same_weights(one: Path, other: Path) -> bool:
    states = [torch.load(path, weights_only=True)["state_dict"] for path in (one, other)]
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][name].nan_to_num(), states[1][name].nan_to_num()) for name in states[0]
    )


@pytest.fixture(scope="module")
def uninterrupted(fit: Callable[..., Path]) -> Path:
    return fit("--trainer.max_epochs", "4")


def status_of(words: list[str]) -> int:
    """The status with which a process of this command would end."""
    try:
        return main(words)
    except SystemExit as leaving:
        return int(leaving.code or 0)


@pytest.mark.parametrize(
    ("step", "number"),
    [(45, signal.SIGINT), (74, signal.SIGTERM)],
    ids=["Ctrl-C within epoch 2", "SIGTERM at the end of epoch 2"],
)
def test_a_signal_leaves_a_checkpoint_that_resumes_exactly(
    step: int, number: int, uninterrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = uninterrupted / "config.yaml"
    times = 2 if number == signal.SIGTERM else 1  # Slurm and torchrun may each send one
    words = ["fit", "--config", str(config), "--trainer.default_root_dir", str(tmp_path)]
    assert status_of([*words, *sending(step=step, number=number, times=times)]) == 128 + number
    last = tmp_path / "lightning_logs" / "version_0" / "checkpoints" / "last.ckpt"
    said = capsys.readouterr().out
    assert f"python -m aeanomaly fit --ckpt_path {last}" in said
    assert torch.load(last, weights_only=True)["global_step"] >= step

    # The callback that sent the signal has had its way: the same config without it.
    resume = ["fit", "--config", str(config), "--trainer.default_root_dir", str(tmp_path), "--ckpt_path", str(last)]
    assert main(resume) == 0
    assert [path.name for path in (tmp_path / "lightning_logs").iterdir()] == ["version_0"]
    assert same_weights(last, uninterrupted / "checkpoints" / "last.ckpt")
    figures = [json.loads((run / "metrics.json").read_text()) for run in (last.parent.parent, uninterrupted)]
    validated = [{name: value for name, value in kept.items() if name.startswith("val/")} for kept in figures]
    assert validated[0] == validated[1] != {}
    scores = tmp_path / "lightning_logs" / "version_0" / "test_scores.csv"
    assert scores.read_text() == (uninterrupted / "test_scores.csv").read_text()


@pytest.mark.parametrize("step", [3, 45])
def test_ctrl_c_within_a_call_of_many_steps_ends_it_and_resumes_exactly(
    step: int, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = uninterrupted / "config.yaml"
    words = ["fit", "--config", str(config), "--trainer.default_root_dir", str(tmp_path)]
    words += [
        "--model.net.class_path",
        "tests.commands.fit.test_resume.PressingAutoencoder",
        "--trainer.num_sanity_val_steps",
        "0",
    ]
    seen = step + (1 if step > 37 else 0)  # the loss of the one validation batch that is before it
    monkeypatch.setattr(PressingAutoencoder, "press_at", seen)
    assert main(words) == 130
    last = tmp_path / "lightning_logs" / "version_0" / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == step
    assert main(["fit", "--ckpt_path", str(last)]) == 0
    assert same_weights(last, uninterrupted / "checkpoints" / "last.ckpt")


def test_a_second_ctrl_c_stops_at_once(uninterrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fit", "--config", str(uninterrupted / "config.yaml"), "--trainer.default_root_dir", str(tmp_path)]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
    try:
        assert main([*words, *sending(step=45, times=2)]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    last = tmp_path / "lightning_logs" / "version_0" / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 37  # that of the first epoch
    said = capsys.readouterr()
    assert f"python -m aeanomaly fit --ckpt_path {last}" in said.out
    assert "Interrupted." not in said.err  # it is said already


def test_checkpoint_alone_is_enough_to_continue_and_a_finished_run_is_left_alone(fit: Callable[..., Path]) -> None:
    run = fit("--trainer.max_epochs", "2")
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    last = run / "checkpoints" / "last.ckpt"
    assert main(["fit", "--ckpt_path", str(last), "--trainer.max_epochs", "3"]) == 0
    continued = run.parent / "version_1" / "checkpoints" / "last.ckpt"
    assert torch.load(continued, weights_only=True)["epoch"] == 2
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before
