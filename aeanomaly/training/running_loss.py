"""The training loss between two logged points."""

from __future__ import annotations

import lightning as L
import torch
from torch import Tensor


class RunningLoss:
    """Adds up the loss of every step on the device and logs its mean now and then.

    Logging every step would cost more than the step of a small net, and so would an attribute of a module that changes
    in every step, hence a class of its own.

    Args:
        device: where the losses are.
        every: steps between two logged points.
    """

    def __init__(self, device: torch.device | None = None, every: int = 50) -> None:
        self.every = every
        self.sum, self.count = torch.zeros((), device=device), 0
        self.point: Tensor | None = None  # the last mean logged, until somebody takes it

    def add(self, loss: Tensor) -> None:
        """Account for a step."""
        self.sum = self.sum + loss
        self.count += 1

    def due(self, step: int) -> bool:
        """Whether the step, counted from 1, is one to log at; never if ``every`` is 0."""
        return self.every > 0 and step % self.every == 0

    def mean(self) -> float:
        """Mean since the last logged point; reading it waits for the device."""
        return float(self.sum) / max(1, self.count)

    def log(self, trainer: L.Trainer, step: int) -> None:
        """Write the mean over all devices and start anew; ``step`` counts from 1."""
        mean = trainer.strategy.reduce(self.sum / self.count, reduce_op="mean")
        assert isinstance(mean, Tensor)
        self.point, self.sum, self.count = mean, torch.zeros_like(self.sum), 0
        # Not by the module's `log`, which writes only at the end of a call of the loop, as of its last step.
        for logger in trainer.loggers:
            logger.log_metrics({"train/loss": float(mean), "epoch": trainer.current_epoch}, step=step - 1)
