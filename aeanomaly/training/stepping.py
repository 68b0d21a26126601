"""Several optimiser steps in one call of Lightning's training loop.

Around every step Lightning asks each callback, hook, logger and progress counter, which takes as long as a fifth of the
step of a small net. Where nobody would notice, a call of the loop therefore gets several batches: all but the last are
stepped here, in the same order and with the same arithmetic, and the last goes Lightning's own way, which brings its
hooks, checkpoints and logs up to date. Weights, `global_step` and logged points are those of one step per call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    GradientAccumulationScheduler,
    LearningRateMonitor,
    ModelCheckpoint,
    ProgressBar,
    StochasticWeightAveraging,
)
from lightning.pytorch.plugins import MixedPrecision, Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor

from aeanomaly.training.precision import Quickest

# Enough for the loop's share to vanish, few enough for Ctrl-C and a progress bar to answer at once. Launching a step on
# a GPU takes less time than the loop around it by far, hence more of them there.
STEPS_ON_CPU, STEPS_ON_GPU = 50, 256

_CALLBACK_HOOKS = (
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_before_zero_grad",
)
# Of a data module or a module, which would be handed several batches in one.
BATCH_HOOKS = ("on_before_batch_transfer", "on_after_batch_transfer")
# What a module may define besides, to change how a step is taken.
STEP_HOOKS = (
    *_CALLBACK_HOOKS,
    *BATCH_HOOKS,
    "training_step",
    "backward",
    "configure_gradient_clipping",
    "lr_scheduler_step",
    "optimizer_step",
    "optimizer_zero_grad",
)


def steps_per_call(trainer: L.Trainer) -> int:
    """How many optimiser steps a call of the training loop may take: 1 if anything wants to see every one of them.

    That is: several devices, options of the Trainer that count or change single steps, a precision other than 32-true
    and mixed, a profiler, a callback with a hook for every step (unless it says ``one_hook_per_call = True``).
    """
    if _single_steps_matter(trainer):
        return 1
    return STEPS_ON_CPU if trainer.strategy.root_device.type == "cpu" else STEPS_ON_GPU


def _single_steps_matter(trainer: L.Trainer) -> bool:
    options_at_rest = (
        trainer.accumulate_grad_batches == 1
        and not trainer.min_steps
        and not trainer.gradient_clip_val
        and trainer.max_steps == -1
        # As floats: the integer 1 means one batch.
        and repr(trainer.limit_train_batches) == "1.0"
        and repr(getattr(trainer, "val_check_interval", None)) == "1.0"
        and not getattr(trainer, "overfit_batches", 0)
        and not getattr(trainer, "fast_dev_run", False)
    )
    return not (
        options_at_rest
        and type(trainer.strategy) is SingleDeviceStrategy
        and type(trainer.precision_plugin) in (Precision, MixedPrecision, Quickest)
        and isinstance(getattr(trainer, "profiler", None), PassThroughProfiler)
        and not any(isinstance(optimizer, torch.optim.LBFGS) for optimizer in trainer.optimizers)
        and all(_moves_every_step(config) for config in trainer.lr_scheduler_configs if config.interval == "step")
        and not any(_watches_steps(callback) for callback in trainer.callbacks)  # type: ignore[attr-defined]
    )


def _moves_every_step(config: Any) -> bool:
    return not config.reduce_on_plateau and bool(config.frequency == 1)


def _watches_steps(callback: L.Callback) -> bool:
    if getattr(callback, "one_hook_per_call", False) or isinstance(callback, ProgressBar):
        return False
    if isinstance(callback, ModelCheckpoint):
        return bool(callback._every_n_train_steps or callback._train_time_interval)
    if isinstance(callback, LearningRateMonitor):
        return callback.logging_interval != "epoch"
    if isinstance(callback, (BackboneFinetuning, GradientAccumulationScheduler, StochasticWeightAveraging)):
        return True  # they change what a step is between epochs
    # Asked of the object, because `LambdaCallback` sets its hooks there.
    hooks = ((getattr(callback, hook), getattr(L.Callback, hook)) for hook in _CALLBACK_HOOKS)
    return any(getattr(own, "__func__", None) is not stock for own, stock in hooks)


def leave_call(trainer: L.Trainer, batches: int) -> None:
    """End a call with so many batches untouched: they are one more call of this epoch, with which resuming starts."""
    loader: Any = trainer.train_dataloader
    loader.give_back(batches)
    trainer.fit_loop.max_batches += 1
    trainer.fit_loop.epoch_loop.batch_progress.is_last_batch = False


def step_schedules(trainer: L.Trainer) -> list[Any]:
    """The learning-rate schedules that move every step."""
    return [config.scheduler for config in trainer.lr_scheduler_configs if config.interval == "step"]


def recount_calls(trainer: L.Trainer) -> None:
    """Before resuming in the middle of an epoch, count in calls of this run's size how far the interrupted one came.

    The loader knows its place by itself. Lightning's loop, which counted in calls of the size that they had then, would
    stop too early or too late.
    """
    progress: Any = trainer.fit_loop.epoch_loop.batch_progress.current
    calls_done = getattr(trainer.train_dataloader, "calls_done", None)
    if not trainer.fit_loop.restarting or calls_done is None or not progress.ready:
        return
    being_ended = progress.processed - progress.completed  # 1 if the checkpoint was written within the last call
    progress.ready = progress.started = progress.processed = calls_done()
    progress.completed = progress.processed - being_ended


def count_steps(trainer: L.Trainer, steps: int) -> None:
    """Tell Lightning of steps that it did not take itself; `global_step` and the axis of its loggers follow."""
    loop = trainer.fit_loop.epoch_loop
    counter = loop.automatic_optimization.optim_progress.optimizer.step
    for progress in (counter.total, counter.current):
        progress.ready += steps
        progress.completed += steps
    loop._batches_that_stepped += steps


class PlainStep:
    """One optimiser step: forward, backward, update.

    Args:
        loss: (B, C, H, W) images to a scalar.
        optimizer: of the parameters that ``loss`` depends on.
        precision: of the trainer; says in which precision ``loss`` runs, and may scale it.
        schedulers: learning-rate schedules that move every step.
    """

    def __init__(
        self,
        loss: Callable[[Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        precision: Precision,
        schedulers: list[Any],
    ) -> None:
        self.loss, self.optimizer, self.precision, self.schedulers = loss, optimizer, precision, schedulers
        self.scaler = getattr(precision, "scaler", None)

    def take(self, image: Tensor) -> Tensor:
        """Train on a batch and return its loss, detached, from before the update."""
        loss = self.forward(image)
        for group in self.optimizer.param_groups:  # what `zero_grad` does, less its entry for a profiler
            for parameter in group["params"]:
                parameter.grad = None
        self.update(loss)
        self.move_schedules()
        return loss.detach()

    def forward(self, image: Tensor) -> Tensor:
        """The loss, with its graph."""
        if type(self.precision) is Precision:  # 32-true, whose context does nothing and takes its time for it
            return self.loss(image)
        with self.precision.train_step_context():
            return self.loss(image)

    def update(self, loss: Tensor) -> None:
        """Backward pass and update; gradients are added to those that are there."""
        if self.scaler is None:
            loss.backward()
            self.optimizer.step()
        else:
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()

    def move_schedules(self) -> None:
        """Set the learning rate of the next step."""
        for scheduler in self.schedulers:
            scheduler.step()
