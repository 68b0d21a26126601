"""Ctrl-C that loses nothing."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint

from aeanomaly.training.module import LitAutoencoder


class Interrupt(L.Callback):
    """On Ctrl-C, finishes the step, writes ``last.ckpt`` and says how to resume; a second Ctrl-C stops at once.

    Without it the interruption falls anywhere, also between the updates of two parameters. With several devices the
    processes would not stop at the same step; there the stock behaviour stays, and ``last.ckpt`` is that of the last
    complete epoch.
    """

    one_hook_per_call = True  # see aeanomaly.training.single_steps

    def __init__(self) -> None:
        self._requested = False
        self._previous: Any = None
        self._module: L.LightningModule | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._module = pl_module
        if trainer.world_size == 1:
            try:
                self._previous = signal.signal(signal.SIGINT, self._request)
            except ValueError:  # not in the main thread: whoever runs us there handles signals
                self._previous = None

    def _request(self, *_: Any) -> None:
        self._restore()
        self._requested = True
        if isinstance(self._module, LitAutoencoder):
            self._module.cut_call = True  # a call may be many steps long
        print("\nInterrupted: finishing the current step (Ctrl-C again to stop at once).", flush=True)

    def _restore(self) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Stop here if it was asked for: all parameters are updated, and the loader knows its place."""
        if self._requested:
            self._requested = False
            last = _last_checkpoint(trainer)
            if last is not None:
                trainer.save_checkpoint(last)
            raise KeyboardInterrupt

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Give Ctrl-C back; if it came during the last validation, stop before the test."""
        self._restore()
        if self._requested:  # last.ckpt is that of this epoch
            self._requested = False
            raise KeyboardInterrupt

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._restore()
        if not isinstance(exception, KeyboardInterrupt) or not trainer.is_global_zero:
            return
        last = _last_checkpoint(trainer)
        if last is not None and last.is_file():
            print(f"Stopped. Resume with: python -m aeanomaly fit --ckpt_path {last}", flush=True)
        else:
            print("Stopped before there was anything to keep.", flush=True)


def _last_checkpoint(trainer: L.Trainer) -> Path | None:
    callback = trainer.checkpoint_callback
    if not isinstance(callback, ModelCheckpoint) or not callback.dirpath:
        return None
    path = Path(callback.dirpath, "last.ckpt")
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
