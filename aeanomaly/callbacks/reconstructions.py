"""A grid of images beside what the net makes of them."""

from __future__ import annotations

import lightning as L
import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from aeanomaly.callbacks.tensorboard import show_figure
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
        if trainer.is_global_zero and (kept[False] or kept[True]):
            figure = reconstruction_grid(kept[False], kept[True])
            show_figure(trainer, figure, f"{stage}/reconstructions", "reconstructions" if stage == "test" else None)


def reconstruction_grid(normal: list[tuple[Tensor, Tensor]], anomalous: list[tuple[Tensor, Tensor]]) -> Figure:
    """Three rows (input, reconstruction, squared error) with the normal images on the left, the anomalous on the right.

    Args:
        normal: pairs of (C, H, W) target and reconstruction, C being 1 or 3, values in [0, 1].
        anomalous: likewise.
    """
    pairs = normal + anomalous
    errors = [(target - reconstruction).square().mean(0) for target, reconstruction in pairs]
    brightest = max(1e-12, float(torch.stack(errors).nan_to_num().max()))  # one scale, so that maps can be compared
    rows = [
        [_colours(target) for target, _ in pairs],
        [_colours(reconstruction) for _, reconstruction in pairs],
        [colormaps["magma"]((error / brightest).numpy())[..., :3] for error in errors],
    ]
    # One picture on one pair of axes: axes for each tile would take seconds to draw.
    tiles = [np.concatenate([_framed(tile) for tile in row], axis=1) for row in rows]
    figure = Figure(figsize=(0.75 * len(pairs) + 1.2, 2.7), layout="constrained")
    axes = figure.subplots()
    axes.imshow(np.concatenate(tiles, axis=0), interpolation="nearest")
    height, width = tiles[0].shape[0], tiles[0].shape[1] / len(pairs)
    axes.set_yticks(
        [height * (row + 0.5) for row in range(3)], ["input", "reconstruction", "squared error"], fontsize=8
    )
    kinds = ["normal"] * len(normal) + ["anomaly"] * len(anomalous)
    axes.set_xticks([width * (column + 0.5) for column in range(len(pairs))], kinds, fontsize=8)
    for label, kind in zip(axes.get_xticklabels(), kinds, strict=True):
        label.set_color("#d62728" if kind == "anomaly" else "black")
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    return figure


def _colours(image: Tensor) -> NDArray[np.float64]:
    """(C, H, W) to (H, W, 3) in [0, 1]."""
    return image.nan_to_num().clamp(0, 1).expand(3, -1, -1).permute(1, 2, 0).double().numpy()


def _framed(tile: NDArray[np.float64]) -> NDArray[np.float64]:
    """A white margin of a pixel or more around an (H, W, 3) picture."""
    margin = max(1, tile.shape[0] // 20)
    return np.pad(tile, ((margin, margin), (margin, margin), (0, 0)), constant_values=1.0)
