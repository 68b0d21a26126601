"""What tests of several processes give by class path."""

from __future__ import annotations

import os
import signal
import time
from typing import Any, Literal

import lightning as L
import torch
from torch import Tensor

from aeanomaly.data.base import Arrays
from aeanomaly.data.sources.digits import Digits
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
        epoch: when.
    """

    def __init__(
        self, rank: int, hook: str, how: Literal["mistake", "defect", "kill"], stuck: bool = False, epoch: int = 0
    ) -> None:
        self.rank, self.how, self.stuck, self.epoch = rank, how, stuck, epoch
        setattr(self, hook, self._fail)

    def _fail(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.sanity_checking or trainer.current_epoch != self.epoch:
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

    fitted_on = "validation"
    reads = ("code",)

    def fit(self, outputs: Output) -> None:
        raise ZeroDivisionError("a defect in a fit")

    def forward(self, output: Output) -> Any:
        return output.code.sum(1)


class FewDigits(Digits):
    """61 normal digits and one anomalous one for training and validation, one of each kind for the test."""

    def load(self) -> Arrays:
        whole = super().load()
        normal, zeros = (whole.train_labels != 0).nonzero()[:61, 0], (whole.train_labels == 0).nonzero()[:1, 0]
        train = torch.cat([normal, zeros])
        test = torch.stack([(whole.test_labels != 0).nonzero()[0, 0], (whole.test_labels == 0).nonzero()[0, 0]])
        return Arrays(
            whole.train_images[train], whole.train_labels[train], whole.test_images[test], whole.test_labels[test]
        )


def painted(images: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 1, 8, 8) images, every fifth with a white square in one of its corners, and (N, 8, 8) masks of these."""
    images, masks = images.clone(), torch.zeros_like(images[:, 0])
    for number, image in enumerate(range(0, len(images), 5)):
        y, x = 5 * (number % 2), 5 * (number // 2 % 2)
        images[image, 0, y : y + 3, x : x + 3] = 255
        masks[image, y : y + 3, x : x + 3] = 1
    return images, masks


class PaintedDigits(Digits):
    """Digits of class 1, and of class 0 those with a white square in a corner, of which there are masks."""

    def load(self) -> Arrays:
        whole = super().load()
        train, masks = painted(whole.train_images)
        test, self.painted = painted(whole.test_images)
        labels = [1 - mask.flatten(1).amax(1).long() for mask in (masks, self.painted)]
        return Arrays(train, labels[0], test, labels[1])

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        self.test_masks = self.painted


class DigitsOfOneMachine(Digits):
    """Digits that the second process cannot find."""

    def load(self) -> Arrays:
        if os.environ["LOCAL_RANK"] == "1":
            raise UserError("there is no data on this machine")
        return super().load()
