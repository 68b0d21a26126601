"""The callback by which startup.py ends a fit where its first training step is about to begin."""

from __future__ import annotations

import os

import lightning as L


class LeaveAtFirstStep(L.Callback):
    """Ends the process once everything but the first batch is ready."""

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The last hook before the first batch; one that is called for each batch might change how batches are run."""
        print("first step", flush=True)
        os._exit(0)
