"""A grid of images beside what the net makes of them."""

from __future__ import annotations

import lightning as L
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from aeanomaly.callbacks.tensorboard import save_figure, summary_writer
from aeanomaly.errors import UserError
from aeanomaly.outputs import Batch, Output


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
        writer = summary_writer(trainer)
        if writer is None or not (kept[False] or kept[True]):
            return
        figure = reconstruction_grid(kept[False], kept[True])
        writer.add_figure(f"{stage}/reconstructions", figure, trainer.global_step)
        if stage == "test":
            save_figure(trainer, figure, "reconstructions")


def reconstruction_grid(normal: list[tuple[Tensor, Tensor]], anomalous: list[tuple[Tensor, Tensor]]) -> Figure:
    """Three rows (input, reconstruction, squared error) with the normal images on the left, the anomalous on the right.

    Args:
        normal: pairs of (C, H, W) target and reconstruction, C being 1 or 3, values in [0, 1].
        anomalous: likewise.
    """
    pairs = normal + anomalous
    errors = [(target - reconstruction).square().mean(0) for target, reconstruction in pairs]
    brightest = max(float(torch.stack(errors).max()), 1e-12)  # one scale, so that maps can be compared
    figure = Figure(figsize=(0.75 * len(pairs) + 0.9, 3.0), layout="constrained")
    grid = np.asarray(figure.subplots(3, len(pairs), squeeze=False))
    for column, ((target, reconstruction), error) in enumerate(zip(pairs, errors, strict=True)):
        for row, picture in enumerate((target, reconstruction)):
            grid[row, column].imshow(picture.clamp(0, 1).permute(1, 2, 0).squeeze(2), cmap="gray", vmin=0, vmax=1)
        grid[2, column].imshow(error, cmap="magma", vmin=0, vmax=brightest)
        kind, colour = ("normal", "black") if column < len(normal) else ("anomaly", "#d62728")
        grid[0, column].set_title(kind, fontsize=8, color=colour)
    for row, label in enumerate(("input", "reconstruction", "squared error")):
        grid[row, 0].set_ylabel(label, fontsize=8)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    return figure
