"""Several optimiser steps per call of the loop change nothing but the speed, also when a run is resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import (
    Timer,
)
from torch import Tensor

from aeanomaly.commands.main import main
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.outputs import Output
from tests.training.parts import make_data, make_module, make_trainer, same, scalars, state


class NoisyAutoencoder(DenseAutoencoder):
    """Draws random numbers in every step, as a denoising net does."""

    def training_loss(self, x: Tensor) -> tuple[dict[str, Tensor], Output]:
        return super().training_loss((x + 0.1 * torch.randn_like(x)).clamp(0, 1))


SCHEDULE = {"class_path": "torch.optim.lr_scheduler.ExponentialLR", "init_args": {"gamma": 0.99}}


VARIANTS = {
    "plain": [],
    "noise": ["--model.net", f"{__name__}.NoisyAutoencoder"],
    "schedule by steps": ["--model.lr_scheduler", json.dumps(SCHEDULE), "--model.lr_interval", "step"],
    "schedule by epochs": ["--model.lr_scheduler", json.dumps(SCHEDULE)],
    "bfloat16": ["--trainer.precision", "bf16-mixed"],
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_steps_and_logged_points_do_not_depend_on_the_size_of_a_call(
    variant: str, fit: Callable[..., Path]
) -> None:
    runs = [fit(*VARIANTS[variant], "--model.steps_per_call", str(size)) for size in (1, 7)]
    one, several = map(state, runs)
    assert one["global_step"] == several["global_step"] == 74
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert same(one[part], several[part]) if part == "state_dict" else str(one[part]) == str(several[part]), part
    points = [scalars(run) for run in runs]
    assert points[0].keys() == points[1].keys()
    assert [step for step, _ in points[0]["train/loss"]] == list(range(4, 74, 5))
    for tag in points[0]:
        assert points[0][tag] == points[1][tag], tag


def test_a_run_resumes_in_the_middle_of_an_epoch_with_calls_of_another_size(tmp_path: Path) -> None:
    for saved_with, resumed_with in ((1, 7), (5, 7), (7, 1)):
        stop = StopAfterCall(call=51 // saved_with if saved_with > 1 else 51, path=tmp_path / "mid.ckpt")
        first = make_trainer([stop], max_epochs=2)
        L.seed_everything(9)
        first.fit(make_module(saved_with), make_data())
        L.seed_everything(9)
        resumed, uninterrupted = make_module(resumed_with), make_module(1)
        trainer = make_trainer([], max_epochs=2)
        trainer.fit(resumed, make_data(), ckpt_path=tmp_path / "mid.ckpt")
        assert trainer.global_step == 74
        L.seed_everything(9)
        alone = make_trainer([], max_epochs=2)
        alone.fit(uninterrupted, make_data())
        assert same(resumed.net.state_dict(), uninterrupted.net.state_dict()), (saved_with, resumed_with)


@pytest.mark.parametrize(("saved_with", "resumed_with"), [("7", "1"), ("1", "7")])
def test_a_resumed_run_logs_at_the_steps_of_an_uninterrupted_one(
    saved_with: str, resumed_with: str, fit: Callable[..., Path]
) -> None:
    first = fit("--model.steps_per_call", saved_with)
    last = first / "checkpoints" / "last.ckpt"
    words = ["fit", "--ckpt_path", str(last), "--trainer.max_epochs", "3", "--model.steps_per_call", resumed_with]
    assert main(words) == 0
    expected, found = (scalars(run) for run in (fit("--trainer.max_epochs", "3"), first.parent / "version_1"))
    for tag in ("val/loss", "val/auroc/reconstruction", "train/loss"):
        # From 79 on: the first mean of the training loss is over steps that the resumed run has not seen.
        assert [point for point in found[tag] if point[0] >= 79] == [point for point in expected[tag] if point[0] >= 79]


class StopAfterCall(L.Callback):
    """Writes a checkpoint after a number of calls, and stops."""

    one_hook_per_call = True

    def __init__(self, call: int, path: Path) -> None:
        self.call, self.path, self.calls = call, path, 0

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.calls += 1
        if self.calls == self.call:
            trainer.save_checkpoint(self.path)
            trainer.should_stop = True
            trainer.limit_train_batches = 0


class Elapsing(Timer):
    """A clock by which every step takes a second."""

    def time_elapsed(self, stage: str = "train") -> float:
        return float(self.module.global_step)

    def on_fit_start(self, trainer: L.Trainer, *_: Any) -> None:
        self.module = trainer.lightning_module


class SaveAt(L.Callback):
    """Writes a checkpoint when a call ends with this step."""

    one_hook_per_call = True

    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize("step", [5, 36, 37, 45], ids=str)
@pytest.mark.parametrize("end", ["max_steps", "max_time"])
@pytest.mark.parametrize(("size", "resumed_with"), [(7, 1), (50, 50), (1, 7)])
def test_a_fit_ends_within_a_call_and_resumes_exactly(
    step: int, end: str, size: int, resumed_with: int, tmp_path: Path
) -> None:
    callbacks: list[L.Callback] = [SaveAt(step, tmp_path / "mid.ckpt")]
    callbacks += [Elapsing({"seconds": step})] if end == "max_time" else []
    limit = step if end == "max_steps" else -1
    stopped, module = make_trainer(callbacks, max_epochs=3, max_steps=limit), make_module(size)
    L.seed_everything(9)
    stopped.fit(module, make_data())
    assert (module.chunk_size, stopped.global_step) == (size, step)

    resumed, uninterrupted = make_module(resumed_with), make_module(1)
    for each, checkpoint in ((resumed, tmp_path / "mid.ckpt"), (uninterrupted, None)):
        L.seed_everything(9)
        clock: list[L.Callback] = [Elapsing({"seconds": 1000})] if end == "max_time" else []
        trainer = make_trainer(clock, max_epochs=2)
        trainer.fit(each, make_data(), ckpt_path=checkpoint, weights_only=True)
        assert trainer.global_step == 2 * 37
    assert same(resumed.net.state_dict(), uninterrupted.net.state_dict())
