"""The training loss between two logged points."""

from __future__ import annotations

from functools import reduce
from typing import Any

import lightning as L
import torch
from torch import Tensor


def total(terms: dict[str, Tensor]) -> Tensor:
    """The sum of a loss's terms; a single term is that very tensor."""
    return reduce(torch.add, terms.values())


class RunningLoss:
    """Adds up the loss of every step on the device and logs its mean now and then.

    Logging every step would cost more than the step of a small net, and so would an attribute of a module that changes
    in every step, hence a class of its own.

    Args:
        every: steps between two logged points.
    """

    def __init__(self, every: int = 50) -> None:
        self.every, self.count, self.logged_at = every, 0, 0
        self.sums: dict[str, Tensor] = {}
        self.point: Tensor | None = None  # the last mean logged, until somebody takes it

    def add(self, terms: dict[str, Tensor], loss: Tensor) -> None:
        """Account for a step: named terms, each logged if there are several, and the loss that is their sum."""
        named = {"loss": loss} if len(terms) == 1 else {**terms, "loss": loss}
        for name, term in named.items():
            self.sums[name] = self.sums[name] + term.detach() if name in self.sums else term.detach().clone()
        self.count += 1

    def state(self, trainer: L.Trainer) -> dict[str, Any]:
        """What a checkpoint must hold for a resumed run to log the same points; every device must call it."""
        sums = {name: trainer.strategy.reduce(value, reduce_op="mean") for name, value in self.sums.items()}
        return {"sums": sums, "count": self.count, "logged_at": self.logged_at}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on from a `state`."""
        self.sums = {name: value.to(device) for name, value in state["sums"].items()}
        self.count, self.logged_at = state["count"], state["logged_at"]

    def due(self, step: int) -> bool:
        """Whether the step, counted from 1, is one to log at; never if ``every`` is 0."""
        return self.every > 0 and step % self.every == 0 and step != self.logged_at

    def mean(self) -> float:
        """Mean since the last logged point; reading it waits for the device."""
        return float(self.sums["loss"]) / self.count if self.count else 0.0

    def log(self, trainer: L.Trainer, step: int) -> None:
        """Write the means over all devices and start anew; ``step`` counts from 1."""
        means: dict[str, Tensor] = {}
        for name, value in self.sums.items():
            mean = trainer.strategy.reduce(value / self.count, reduce_op="mean")
            assert isinstance(mean, Tensor)
            means[f"train/{name}"] = mean
        self.point, self.sums, self.count, self.logged_at = means["train/loss"], {}, 0, step
        # Not by the module's `log`, which writes only at the end of a call of the loop, as of its last step.
        points = {name: float(mean) for name, mean in means.items()}
        points["lr"] = float(trainer.optimizers[0].param_groups[0]["lr"])  # of the next step
        for logger in trainer.loggers:
            logger.log_metrics({**points, "epoch": trainer.current_epoch}, step=step - 1)
