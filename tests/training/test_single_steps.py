"""What wants to see single steps gets them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import (
    EarlyStopping,
    GradientAccumulationScheduler,
    LambdaCallback,
    LearningRateMonitor,
    ModelCheckpoint,
)

from aeanomaly.callbacks.interrupt import Interrupt
from aeanomaly.callbacks.progress import Progress
from aeanomaly.data.sources.digits import Digits
from aeanomaly.errors import UserError
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.outputs import Batch
from aeanomaly.training.module import LitAutoencoder
from aeanomaly.training.single_steps import STEPS_ON_CPU
from tests.training.parts import CountSteps, make_data, make_module, make_trainer


def chunk_size(callbacks: list[L.Callback], module: LitAutoencoder | None = None, **options: Any) -> int:
    """Batches in a call, decided as at the start of a fit."""
    trainer, module, data = make_trainer(callbacks, **options), module or make_module(), make_data()
    trainer.datamodule, data.trainer, module.trainer = data, trainer, trainer  # type: ignore[attr-defined]
    data.setup()
    module.setup("fit")
    assert module.automatic_optimization is (module.chunk_size == 1)
    assert data.chunk_size == module.chunk_size
    return module.chunk_size


@pytest.mark.parametrize(
    "callback",
    [EarlyStopping("val/loss"), LearningRateMonitor("epoch"), ModelCheckpoint(every_n_epochs=2), Interrupt()],
    ids=lambda callback: type(callback).__name__,
)
def test_callbacks_that_do_not_watch_steps_leave_calls_long(callback: L.Callback) -> None:
    enabled = {"enable_checkpointing": isinstance(callback, ModelCheckpoint)}
    assert chunk_size([callback], **enabled) == STEPS_ON_CPU
    assert chunk_size([Progress()], enable_progress_bar=True) == STEPS_ON_CPU


@pytest.mark.parametrize(
    "options",
    [
        {"accumulate_grad_batches": 2},
        {"gradient_clip_val": 0.5},
        {"limit_train_batches": 0.5},
        {"limit_train_batches": 3},
        {"limit_train_batches": 1},
        {"val_check_interval": 0.5},
        {"val_check_interval": 1},
        {"min_steps": 30},
        {"overfit_batches": 2},
        {"fast_dev_run": True},
        {"precision": "64-true"},
        {"profiler": "simple"},
        {"strategy": "ddp", "devices": 2},
    ],
    ids=str,
)
def test_options_about_single_steps_make_every_step_a_call(options: dict[str, Any]) -> None:
    assert chunk_size([], **options) == 1


@pytest.mark.parametrize(
    "callback",
    [
        CountSteps(),
        LambdaCallback(on_train_batch_end=print),
        LearningRateMonitor("step"),
        ModelCheckpoint(every_n_train_steps=5),
        ModelCheckpoint(train_time_interval=timedelta(minutes=1)),
        GradientAccumulationScheduler({1: 2}),
    ],
    ids=lambda callback: type(callback).__name__,
)
def test_callbacks_that_watch_steps_make_every_step_a_call(callback: L.Callback) -> None:
    assert chunk_size([callback], enable_checkpointing=True) == 1


def test_a_callback_sees_every_step() -> None:
    counter = CountSteps()
    trainer = make_trainer([counter], max_epochs=1)
    trainer.fit(make_module(), make_data())
    assert counter.steps == trainer.global_step == 37


class ClippingAutoencoder(LitAutoencoder):
    """Does something of its own in every step."""

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        torch.nn.utils.clip_grad_norm_(self.parameters(), 1.0)


def test_a_module_with_a_hook_for_steps_makes_every_step_a_call() -> None:
    net = DenseAutoencoder((1, 8, 8), hidden=(24,), code_size=3)
    for kind, expected in ((LitAutoencoder, STEPS_ON_CPU), (ClippingAutoencoder, 1)):
        assert chunk_size([], kind(net)) == expected


class TimesTen(Digits):
    """Changes every batch on its way to the device."""

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        return batch._replace(image=batch.image * 0.1)


def test_a_data_module_with_a_hook_for_batches_makes_every_step_a_call() -> None:
    trainer = make_trainer([], max_epochs=1)
    trainer.fit(make_module(), TimesTen(anomaly_classes=[0], batch_size=32))
    assert trainer.global_step == 37
    assert trainer.train_dataloader.chunk_size == 1  # type: ignore[union-attr]


class AccumulateLater(L.Callback):
    """Changes what a step is, in a way that nobody can foresee."""

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.accumulate_grad_batches = 2


def test_no_batch_is_dropped_in_silence() -> None:
    with pytest.raises(UserError, match=r"set model\.steps_per_call to 1"):
        make_trainer([AccumulateLater()], max_epochs=1).fit(make_module(4), make_data())
    trainer = make_trainer([AccumulateLater()], max_epochs=1)
    trainer.fit(make_module(1), make_data())
    assert trainer.global_step == 19
