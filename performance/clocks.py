"""Callbacks that measure a fit from inside, added by the benchmarks with `--trainer.callbacks+=`.

Neither has a hook for single steps, so that both leave the training loop as it is.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning as L
import torch


def now() -> float:
    """Seconds, with nothing left to do on the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class EpochClock(L.Callback):
    """Writes the seconds of each epoch: ``training`` alone, and ``whole`` with all that happens until the next one.

    Args:
        path: of the JSON file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._starts: list[float] = []
        self._training: list[float] = []

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start both clocks."""
        self._starts.append(now())

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Validation is not training."""
        if not trainer.sanity_checking:
            self._training.append(now() - self._starts[-1])

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop the clock of an epoch without a validation."""
        if len(self._training) < len(self._starts):
            self._training.append(now() - self._starts[-1])

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write."""
        stamps = [*self._starts, now()]
        whole = [end - start for start, end in pairwise(stamps)]
        Path(self.path).write_text(json.dumps({"training": self._training, "whole": whole}))


class Ledger(L.Callback):
    """Writes where the time between the start and the end of a fit, and of the test after it, goes.

    Time is booked to one owner at a time: a callback while one of its hooks runs, and otherwise the part of the run
    that is going on. Nothing is counted twice, and the sum is the whole.

    Args:
        path: of the JSON file, which holds seconds by owner for ``fit`` and ``test``.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._booked: dict[str, Counter[str]] = {"fit": Counter(), "test": Counter()}
        self._owner, self._since, self._stage = "", 0.0, "fit"
        self._wrapped = False

    def _give(self, owner: str) -> str:
        """Book the time until now, and the time from now on to ``owner``; returns the previous one."""
        time_now = now()
        if self._owner:
            self._booked[self._stage][self._owner] += time_now - self._since
        previous, self._owner, self._since = self._owner, owner, time_now
        return previous

    def _timed(self, owner: str, hook: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            previous = self._give(owner) if self._owner else ""
            try:
                return hook(*args, **kwargs)
            finally:
                if previous:
                    self._give(previous)

        return timed

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Wrap the hooks that the other callbacks really have, as attributes of the objects."""
        if self._wrapped:
            return
        self._wrapped = True
        hooks = [name for name in vars(L.Callback) if name.startswith("on_") or name == "teardown"]
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if callback is self:
                continue
            for name in hooks:
                if getattr(type(callback), name) is not getattr(L.Callback, name):
                    setattr(callback, name, self._timed(type(callback).__name__, getattr(callback, name)))

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin."""
        self._give("set-up")

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Also the end of the preparations."""
        self._give("training steps")

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The net's pass over the validation images, and its loss."""
        if not trainer.sanity_checking:
            self._give("validation pass")

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Back to training, or on to its end."""
        if not trainer.sanity_checking and trainer.state.fn == "fit":
            self._give("rest")

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop until the test."""
        self._give("")

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin again."""
        self._stage = "test"
        self._give("test pass")

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """On to the end, where the page is made."""
        self._give("rest")

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Write, once the callbacks before have ended."""
        if stage == "test":
            self._give("")
            Path(self.path).write_text(json.dumps(self._booked))
