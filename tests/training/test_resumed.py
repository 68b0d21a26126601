"""A run that is stopped and resumed ends as if nothing had happened, whatever its schedule and validations."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest

from aeanomaly.commands.main import main
from tests.commands.fit.test_resume import status_of
from tests.training.parts import make_data, make_module, make_trainer, same, state
from tests.training.test_chunks import SaveAt


class Stop(L.Callback):
    """Stops a fit after so many batches: at once, or with a signal that lets it end in order."""

    def __init__(self, batch: int, at_once: bool = False) -> None:
        self.batch, self.at_once = batch, at_once

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.fit_loop.total_batch_idx + 1 == self.batch:
            if self.at_once:
                raise KeyboardInterrupt
            signal.raise_signal(signal.SIGINT)


def trainer(**options: Any) -> list[str]:
    return [word for name, value in options.items() for word in (f"--trainer.{name}", json.dumps(value))]


WARMUP = ["--model.lr_scheduler", "aeanomaly.training.schedules.WarmupCosine", "--model.lr_interval", "step"]
SINGLE = ["--model.steps_per_call", "1"]
# Moves the rate in every epoch but the first.
PLATEAU = {"monitor": "val/loss", "patience": 0, "threshold": 0.9, "factor": 0.5}
FALLING = json.dumps({"class_path": "lightning.pytorch.cli.ReduceLROnPlateau", "init_args": PLATEAU})
FOLLOWING = ["--model.lr_scheduler", FALLING]
LIMITED = trainer(limit_train_batches=10, max_epochs=4)
EVERY_2 = trainer(check_val_every_n_epoch=2)
HALVES = trainer(val_check_interval=0.5)

# The batches of an epoch are 37; 10 where they are limited.
CASES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "schedule that knows the length": (WARMUP, {"batch": 45}),
    "schedule that knows the length, single steps": ([*WARMUP, *SINGLE], {"batch": 45}),
    "schedule that knows the length, validation every 2 epochs": ([*WARMUP, *EVERY_2], {"batch": 30}),
    "validation by batches": (trainer(check_val_every_n_epoch=None, val_check_interval=37), {"batch": 45}),
    "within accumulated batches": (trainer(accumulate_grad_batches=4), {"batch": 46}),
    "within the last accumulated batches of an epoch": (trainer(accumulate_grad_batches=5), {"batch": 36}),
    "last.ckpt within accumulated batches": (
        [*trainer(accumulate_grad_batches=4), *HALVES],
        {"batch": 25, "at_once": True},
    ),
    "last.ckpt within accumulated batches, validated again with the step": (
        trainer(accumulate_grad_batches=4, val_check_interval=2, limit_train_batches=10),
        {"batch": 9, "at_once": True},
    ),
    "schedule that follows a value, single steps": ([*FOLLOWING, *LIMITED], {"batch": 25}),
    "schedule that follows a value, single steps, from the end of an epoch": (
        [*FOLLOWING, *LIMITED],
        {"batch": 25, "at_once": True},
    ),
    "schedule that follows a value, several steps": ([*FOLLOWING, *trainer(max_epochs=3)], {"batch": 80}),
    "schedule that follows a value, validation every 2 epochs": (
        [*FOLLOWING, *LIMITED, *EVERY_2],
        {"batch": 25},
    ),
    "schedule that follows a value, at the end of an epoch without a validation": (
        [*FOLLOWING, *LIMITED, *EVERY_2],
        {"batch": 30},
    ),
    "schedule that follows a value, validation every 2 epochs, from the end of an epoch": (
        [*FOLLOWING, *LIMITED, *EVERY_2],
        {"batch": 25, "at_once": True},
    ),
    "schedule that follows a value, several steps, validation every 2 epochs": (
        [*FOLLOWING, *EVERY_2, *trainer(max_epochs=4)],
        {"batch": 80, "at_once": True},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_resumed_run_ends_like_a_whole_one(case: str, fit: Callable[..., Path], tmp_path: Path) -> None:
    options, stop = CASES[case]
    whole = fit(*options)
    words = ["fit", "--config", str(whole / "config.yaml"), "--trainer.default_root_dir", str(tmp_path)]
    stopping = json.dumps({"class_path": "tests.training.test_resumed.Stop", "init_args": stop})
    assert status_of([*words, "--trainer.callbacks+", stopping]) == 130
    resumed = tmp_path / "lightning_logs" / "version_0"
    assert 0 < state(resumed)["global_step"] < state(whole)["global_step"]
    assert main([*words, "--ckpt_path", str(resumed / "checkpoints" / "last.ckpt")]) == 0
    ends = [state(run) for run in (whole, resumed)]
    assert ends[0]["global_step"] == ends[1]["global_step"]
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert same(ends[0][part], ends[1][part]), part


def test_a_fit_that_is_told_to_end_within_accumulated_batches_leaves_its_last_checkpoint(
    fit: Callable[..., Path],
) -> None:
    stopping = {"monitor": "val/loss", "patience": 1, "min_delta": 1000}
    early = json.dumps({"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": stopping})
    # Validated after 18 batches and after 36, which are seven steps and a batch.
    run = fit(*trainer(accumulate_grad_batches=5), *HALVES, "--trainer.callbacks+", early)
    assert state(run)["global_step"] == 7


def test_an_epoch_that_a_limit_ends_is_not_repeated(tmp_path: Path) -> None:
    limits: dict[str, Any] = {"max_epochs": 4, "limit_train_batches": 10, "check_val_every_n_epoch": 2}
    whole, resumed = make_module(), make_module()
    for module, checkpoint in ((whole, None), (resumed, tmp_path / "end.ckpt")):
        L.seed_everything(9)
        fitting = make_trainer([SaveAt(10, tmp_path / "end.ckpt")] if module is whole else [], **limits)
        fitting.fit(module, make_data(), ckpt_path=checkpoint, weights_only=True)
        assert fitting.global_step == 40
    assert same(whole.state_dict(), resumed.state_dict())
