"""Learning-rate schedules that know how long a fit is."""

from __future__ import annotations

import math
from typing import Any, Literal

import lightning as L
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from aeanomaly.errors import UserError


class WarmupCosine(LRScheduler):
    """Rises linearly to the optimiser's learning rate, then falls to zero along half a cosine.

    The cosine is that of Loshchilov and Hutter (2017), without restarts. `LitAutoencoder` says how many times it will
    move, from ``max_epochs``, the data and ``model.lr_interval``, which had better be ``step``.

    Args:
        optimizer: whose learning rate is the highest one.
        warmup: share of the fit in which it rises, in [0, 1).
        total_steps: how many times it moves, where no trainer says so.

    Raises:
        UserError: if ``warmup`` is out of range.
    """

    def __init__(self, optimizer: Optimizer, warmup: float = 0.1, total_steps: int | None = None) -> None:
        if not 0 <= warmup < 1:
            raise UserError(f"model.lr_scheduler: warmup must be at least 0 and below 1, got {warmup:g}")
        self.warmup, self.total_steps = warmup, total_steps
        super().__init__(optimizer)

    def share(self, step: int) -> float:
        """The share of the highest learning rate that the step has, counted from 0."""
        total = self.total_steps or 1
        rising = round(self.warmup * total)
        if step < rising:
            return (step + 1) / rising
        done = min(1.0, (step - rising) / max(1, total - rising))
        return 0.5 * (1 + math.cos(math.pi * done))

    def get_lr(self) -> list[Any]:
        """The learning rates of the next step."""
        return [base * self.share(self.last_epoch) for base in self.base_lrs]

    def plan(self, total_steps: int) -> None:
        """Say how many times it will move in all, before the first time or before the first of a resumed fit."""
        self.total_steps = total_steps
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """All but the length of the fit: a run that is resumed to train longer has a new one."""
        return {key: value for key, value in super().state_dict().items() if key != "total_steps"}


def moves_of_schedule(trainer: L.Trainer, interval: Literal["epoch", "step"]) -> int:
    """How many times a schedule moves during a fit: epochs, or optimiser steps.

    To be asked from `on_train_start` on, when there is a training loader. Earlier, Lightning would make it for this
    question, and a resumed fit would not tell it where to go on.

    Raises:
        UserError: if the fit has no end.
    """
    epochs, most = trainer.max_epochs or -1, trainer.max_steps
    if epochs < 0 and (most < 0 or interval == "epoch"):
        raise UserError("model.lr_scheduler needs to know how long the fit is: set trainer.max_epochs")
    if interval == "epoch":
        return epochs
    moves = trainer.estimated_stepping_batches
    if epochs > 0 and not trainer.lightning_module.automatic_optimization:
        loader: Any = trainer.train_dataloader
        moves = epochs * loader.batches  # Lightning counts calls, which take several steps
        moves = min(moves, most) if most > 0 else moves
    return int(moves)
