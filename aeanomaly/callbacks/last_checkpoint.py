"""Keeps the end of the latest epoch."""

from __future__ import annotations

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint

from aeanomaly.callbacks.interrupt import validation_follows, within_step


class LastCheckpoint(ModelCheckpoint):
    """Writes ``last.ckpt`` after every validated epoch; ``fit --ckpt_path`` of it resumes.

    `ModelCheckpoint` with ``save_last=True`` writes one only after an epoch that is the best so far.

    After a validation between batches whose gradients are accumulated, it is written when their step is taken.
    """

    def __init__(self) -> None:
        super().__init__(filename="last", enable_version_counter=False)
        self._waits = False

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write it, or wait: the gradients so far would be lost to a run that resumes."""
        self._waits = within_step(trainer)
        if not self._waits:
            super().on_validation_end(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write what has waited, unless it would be a checkpoint between a step and its validation."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if self._waits and not within_step(trainer) and not validation_follows(trainer):
            self.on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write what has waited for a step that does not come, because the fit was told to end."""
        super().on_train_epoch_end(trainer, pl_module)
        if self._waits:
            self._waits = False
            super().on_validation_end(trainer, pl_module)
