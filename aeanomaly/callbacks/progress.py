"""Progress that fits where it is shown: a bar on a terminal, lines in a log."""

from __future__ import annotations

import sys
import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import TQDMProgressBar

from aeanomaly.training.module import LitAutoencoder


class Progress(TQDMProgressBar):
    """Shows epoch, loss and val/loss, and the step where steps are counted.

    In a log, each epoch has a line; where epochs take less than a second, only each validated one and one a second.

    Args:
        refresh_rate: steps between two updates of the bar; each update waits for the device.
    """

    def __init__(self, refresh_rate: int = 25) -> None:
        self._interactive = sys.stderr.isatty()
        # In a file or a pipe, a bar is thousands of carriage returns: keep it off and print lines instead.
        super().__init__(refresh_rate=refresh_rate if self._interactive else 0)
        self._epoch_started = self._line_printed = 0.0
        self._validated = False

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        """What stands to the right of the bar."""
        items = super().get_metrics(trainer, pl_module)
        items.pop("v_num", None)
        if isinstance(pl_module, LitAutoencoder) and trainer.training:
            counted = {"step": _steps(trainer)} if _steps(trainer) else {}
            return {**counted, "loss": pl_module.running_loss.mean(), **items}
        return dict(items)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock here, as resuming in the middle of an epoch has no `on_train_epoch_start`."""
        super().on_train_start(trainer, pl_module)
        self._epoch_started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar, in steps also where a call of the loop takes several."""
        loader: Any = trainer.train_dataloader
        bar = self.train_progress_bar
        size = getattr(loader, "chunk_size", 1)
        if size == 1:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
            return
        done, steps = loader.served, loader.batches
        if self._interactive and (done == steps or (batch_idx + 1) % max(1, self.refresh_rate // size) == 0):
            bar.total, bar.n = steps, done
            bar.set_postfix(self.get_metrics(trainer, pl_module))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remember that this epoch has a val/loss."""
        super().on_validation_end(trainer, pl_module)
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        now = time.perf_counter()
        seconds, self._epoch_started = now - self._epoch_started, now
        due = self._validated or now - self._line_printed >= 1
        if due and not self._interactive and trainer.is_global_zero:
            names = ("train/loss", "val/loss") if self._validated else ("train/loss",)  # not that of an earlier epoch
            known = {name: trainer.callback_metrics.get(name) for name in names}
            values = "".join(f"  {name} {float(value):.5f}" for name, value in known.items() if value is not None)
            self._line_printed = now
            of = f"/{trainer.max_epochs}" if (trainer.max_epochs or 0) > 0 else ""
            steps = f"  step {_steps(trainer)}" if _steps(trainer) else ""
            print(f"epoch {trainer.current_epoch + 1}{of}{steps}{values}  {seconds:.1f} s", flush=True)
        self._validated = False


def _steps(trainer: L.Trainer) -> str:
    """How many are done of how many; nothing where it is epochs that are counted."""
    return f"{trainer.global_step}/{trainer.max_steps}" if trainer.max_steps > 0 else ""
