"""Draws a grid of images beside what the net makes of them."""

from __future__ import annotations

import lightning as L
from torch import Tensor

from aeanomaly.callbacks.tensorboard import show_figure
from aeanomaly.errors import UserError
from aeanomaly.outputs import Batch, Output
from aeanomaly.plots.reconstruction_grid import reconstruction_grid


class ReconstructionGrid(L.Callback):
    """Draws input, reconstruction and error map of the first normal and anomalous images.

    The grid goes to the tag ``<stage>/reconstructions``; that of the test is also saved as a PNG in the run. Skipped
    where the target of the reconstruction is not an image.

    Args:
        images: how many of each kind.
        every_n_epochs: how often to draw while fitting.

    Raises:
        UserError: if either is below 1.
    """

    def __init__(self, images: int = 8, every_n_epochs: int = 5) -> None:
        if images < 1 or every_n_epochs < 1:
            raise UserError(f"ReconstructionGrid: {images=} and {every_n_epochs=} must be at least 1")
        self.images, self.every_n_epochs = images, every_n_epochs
        self._kept: dict[bool, list[tuple[Tensor, Tensor]]] = {False: [], True: []}

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Output,  # type: ignore[override]
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the first images if a grid is due."""
        if self._due(trainer):
            self._keep(outputs, batch)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw if it is due."""
        if self._due(trainer):
            self._draw(trainer, "val")

    def on_test_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Output,  # type: ignore[override]
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the first images."""
        self._keep(outputs, batch)

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw and save."""
        self._draw(trainer, "test")

    def _due(self, trainer: L.Trainer) -> bool:
        due = (trainer.current_epoch + 1) % self.every_n_epochs == 0 or trainer.state.fn != "fit"
        return due and not trainer.sanity_checking

    def _keep(self, output: Output, batch: Batch) -> None:
        if output.target.ndim != 4 or output.target.shape[1] not in (1, 3):
            return
        for kind, kept in self._kept.items():
            wanted = (batch.is_anomaly == kind).nonzero().flatten()[: self.images - len(kept)]
            kept += zip(output.target[wanted].cpu(), output.reconstruction[wanted].cpu(), strict=True)

    def _draw(self, trainer: L.Trainer, stage: str) -> None:
        kept, self._kept = self._kept, {False: [], True: []}
        if trainer.is_global_zero and (kept[False] or kept[True]):
            figure = reconstruction_grid(kept[False], kept[True])
            show_figure(trainer, figure, f"{stage}/reconstructions", "reconstructions" if stage == "test" else None)
