"""What fails on one device only, for tests to give by class path."""

from __future__ import annotations

import os
import signal
import time
from typing import Any, Literal

import lightning as L

from aeanomaly.errors import UserError
from aeanomaly.outputs import Output
from aeanomaly.scores.base import Score


class FailOnRank(L.Callback):
    """Fails in one hook, on one device.

    Args:
        rank: of the device.
        hook: ``on_train_batch_start``, ``on_validation_batch_start`` or any other of a callback.
        how: raise a `UserError`, raise what a defect would raise, or have the process killed as by the kernel.
        stuck: leave the other devices where no error reaches them, as in a collective of NCCL.
    """

    def __init__(self, rank: int, hook: str, how: Literal["mistake", "defect", "kill"], stuck: bool = False) -> None:
        self.rank, self.how, self.stuck = rank, how, stuck
        setattr(self, hook, self._fail)

    def _fail(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.sanity_checking:
            return
        if trainer.global_rank != self.rank:
            if self.stuck:
                time.sleep(3600)
        elif self.how == "mistake":
            raise UserError("a mistake on one device")
        elif self.how == "defect":
            raise ZeroDivisionError("a defect on one device")
        else:
            os.kill(os.getpid(), signal.SIGKILL)


class UnfittableScore(Score):
    """A score whose fit fails, which happens on the first device only, because no other fits."""

    name = "unfittable"
    fitted_on = "validation"
    reads = ("code",)

    def fit(self, outputs: Output) -> None:
        raise ZeroDivisionError("a defect in a fit")

    def forward(self, output: Output) -> Any:
        return output.code.sum(1)
