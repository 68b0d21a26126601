"""Ctrl-C and SIGTERM that lose nothing."""

from __future__ import annotations

import shlex
import signal
from typing import Any

import lightning as L
import torch

from aeanomaly.runs.checkpoints import last_checkpoint
from aeanomaly.training.module import LitAutoencoder

_AGREE_EVERY = 10  # steps; a word of all processes takes as long as a tenth of the step of a small net
_WORDS = {
    signal.SIGINT: "\nInterrupted: finishing the current step (Ctrl-C again to stop at once).",
    signal.SIGTERM: "\nTerminated: finishing the current step.",
}


class Interrupt(L.Callback):
    """On Ctrl-C or SIGTERM, finishes the step, writes ``last.ckpt``, says how to resume, and ends the process.

    Without it an interruption falls anywhere, also between the updates of two parameters. Several processes agree at
    every tenth step and at the end of an epoch, so that all stop after the same one, whichever was told. A second
    Ctrl-C stops at once; a second SIGTERM changes nothing, because Slurm and torchrun may each send one.

    During a validation, or in a step that is followed by one or by the end of an epoch, the run stops after the first
    step that follows it, or before the test: Lightning would leave the validation, and what else happens at the end of
    the epoch, out of a resumed run.

    Raises:
        SystemExit: with the status 128 + number of the signal, as a shell has it: 130 or 143.
    """

    one_hook_per_call = True  # see aeanomaly.training.single_steps

    def __init__(self) -> None:
        self._received = 0  # number of the signal
        self._waited = False  # for a validation, once
        self._previous: dict[int, Any] = {}  # the handlers that were there
        self._module: L.LightningModule | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Listen; a SIGTERM since the start of the fit was noted by Lightning."""
        self._module, self._received = pl_module, signal.SIGTERM if trainer.received_sigterm else 0
        self._waited = False
        try:
            for number in _WORDS:
                self._previous[number] = signal.signal(number, self._request)
        except ValueError:  # not in the main thread: whoever runs us there handles signals
            self._previous.clear()

    def _request(self, number: int, *_: Any) -> None:
        if number == signal.SIGINT:
            self._restore(number)
        if self._received:
            return
        self._received = number
        if isinstance(self._module, LitAutoencoder):
            self._module.cut_call = True  # a call may be many steps long
        if self._module is None or self._module.global_rank == 0:
            print(_WORDS[signal.Signals(number)], flush=True)

    def _restore(self, *numbers: int) -> None:
        for number in numbers or list(self._previous):
            if (handler := self._previous.pop(number, None)) is not None:
                signal.signal(number, handler)

    def _agreed(self, trainer: L.Trainer) -> int:
        """The signal that any of the processes received; 0 for none."""
        if trainer.world_size == 1:
            return self._received
        number = torch.tensor(self._received, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(number, reduce_op="max"))

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop here if it was asked for: all parameters are updated, and the loader knows its place."""
        if within_step(trainer):
            return
        due = not trainer.global_step % _AGREE_EVERY or trainer.is_last_batch or self._waited
        number = self._agreed(trainer) if trainer.world_size == 1 or due else 0
        if number and not self._waited and (trainer.is_last_batch or validation_follows(trainer)):
            self._waited = True
        elif number:
            path = last_checkpoint(trainer)
            if path is not None:
                trainer.save_checkpoint(path)
            raise SystemExit(128 + number)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Give the signals back; if one came during the last validation, stop before the test."""
        number = self._agreed(trainer)
        self._restore()
        if number:  # last.ckpt is that of this epoch
            raise SystemExit(128 + number)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Say what is left of a run that was stopped."""
        self._restore()
        self._received = 0
        if not isinstance(exception, (KeyboardInterrupt, SystemExit)) or not trainer.is_global_zero:
            return
        path = last_checkpoint(trainer)
        if path is not None and path.is_file():
            print(f"Stopped. Resume with: python -m aeanomaly fit --ckpt_path {shlex.quote(str(path))}", flush=True)
        else:
            print("Stopped before there was anything to keep.", flush=True)


def within_step(trainer: L.Trainer) -> bool:
    """Whether gradients of the latest batches still wait for others: no checkpoint holds them."""
    batches: int = trainer.fit_loop.batch_idx + 1
    return bool(batches % trainer.accumulate_grad_batches) and not trainer.is_last_batch


def validation_follows(trainer: L.Trainer) -> bool:
    """Whether Lightning validates after the latest batch."""
    if not trainer.enable_validation:
        return False
    epochs, batches = trainer.check_val_every_n_epoch, trainer.val_check_batch
    if epochs is not None and (trainer.current_epoch + 1) % epochs:
        return False
    if batches == float("inf"):
        return trainer.is_last_batch
    done = trainer.fit_loop.total_batch_idx if epochs is None else trainer.fit_loop.batch_idx
    return batches is not None and (done + 1) % batches == 0
