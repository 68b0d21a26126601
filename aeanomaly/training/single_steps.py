"""Whether a call of Lightning's training loop may take several optimiser steps.

Around every call Lightning asks each callback, hook, logger and progress counter, which takes as long as a fifth of the
step of a small net. Where nobody would notice, a call therefore trains on a chunk of batches, one step for each.
"""

from __future__ import annotations

import re
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    GradientAccumulationScheduler,
    LearningRateMonitor,
    ModelCheckpoint,
    ProgressBar,
    StochasticWeightAveraging,
    Timer,
)
from lightning.pytorch.plugins import MixedPrecision, Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy

from aeanomaly.training.precision import Quickest

# Enough for the loop's share to vanish, few enough for Ctrl-C and a progress bar to answer at once. Launching a step on
# a GPU takes less time than the loop around it by far, hence more of them there.
STEPS_ON_CPU, STEPS_ON_GPU = 50, 256

# Whatever a callback or a module may define to see or change how a training step is taken.
_OF_A_STEP = re.compile("batch|step|backward|optimizer|zero_grad|gradient")
_OF_AN_EVALUATION = re.compile("validation|test|predict")


def single_steps_matter(module: L.LightningModule, stock: type[L.LightningModule]) -> bool:
    """Whether anything wants to see or change every step of a module that is attached to its Trainer.

    That is: several devices, options of the Trainer that change or count batches, a precision other than 32-true and
    mixed, a profiler, a callback with a hook for every step (unless it says ``one_hook_per_call = True``), or a hook
    of a subclass of ``stock``, the class whose own hooks know of several steps.
    """
    trainer: Any = module.trainer
    return bool(
        trainer.accumulate_grad_batches != 1
        or trainer.gradient_clip_val
        # As floats: the integer 1 means one batch.
        or repr(trainer.limit_train_batches) != "1.0"
        or repr(getattr(trainer, "val_check_interval", None)) != "1.0"
        or trainer.overfit_batches
        or trainer.fast_dev_run
        or trainer.min_steps
        or not isinstance(trainer.profiler, PassThroughProfiler)
        or type(trainer.strategy) is not SingleDeviceStrategy
        or type(trainer.precision_plugin) not in (Precision, MixedPrecision, Quickest)
        or _watches_each_step(module, stock)
        or any(_watches_steps(callback, trainer) for callback in trainer.callbacks)
    )


def _watches_steps(callback: L.Callback, trainer: L.Trainer) -> bool:
    if getattr(callback, "one_hook_per_call", False) or isinstance(callback, ProgressBar):
        return False
    if isinstance(callback, Timer):
        # The training step asks it after each step, but does not know whether a fit must go on in spite of it.
        return bool(trainer.min_epochs)
    if isinstance(callback, ModelCheckpoint):
        # Its options are private, its name is not. In manual optimisation Lightning ignores the interval of time.
        name = callback.state_key
        return "'every_n_train_steps': 0" not in name or "'train_time_interval': None" not in name
    if isinstance(callback, LearningRateMonitor):
        return callback.logging_interval != "epoch"
    if isinstance(callback, (BackboneFinetuning, GradientAccumulationScheduler, StochasticWeightAveraging)):
        return True  # they change what a step is between epochs
    return _watches_each_step(callback, L.Callback)


def _watches_each_step(owner: Any, stock: type) -> bool:
    """Whether an object has hooks for training steps other than those of its class ``stock``."""
    names = [name for name in dir(stock) if _OF_A_STEP.search(name) and not _OF_AN_EVALUATION.search(name)]
    hooks = {name: hook for name in names if callable(hook := getattr(stock, name))}
    # Asked of the object, because `LambdaCallback` sets its hooks there.
    return any(getattr(getattr(owner, name), "__func__", None) is not hook for name, hook in hooks.items())
