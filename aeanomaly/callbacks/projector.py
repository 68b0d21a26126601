"""The codes of images in TensorBoard's Projector: what the net sees as alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from aeanomaly.callbacks.tensorboard import summary_writer
from aeanomaly.distributed.gather import gather_in_order
from aeanomaly.errors import UserError
from aeanomaly.outputs import Batch, Evaluation, Output
from aeanomaly.runs.projector import LARGEST_SPRITE, sprite_side, write_projection
from aeanomaly.training.module import LitAutoencoder


class CodeProjector(L.Callback):
    """Writes codes of test images for the Projector, with class, kind and scores to colour by, and thumbnails.

    The images are spread evenly over the set, as one that is sorted by class would otherwise show a single class.
    Images whose code is not finite are left out, because the Projector cannot place them, and images with neither one
    nor three channels appear as dots. The files lie in ``projector/`` of the run, beside ``projector_config.pbtxt``.

    Args:
        images: at most how many.
        every_n_epochs: how often to show validation images too, as ``val_epoch_N``; None for the test alone.
        thumbnail_size: longest side of a thumbnail in pixels; larger images are shrunk to it.

    Raises:
        UserError: if a number is below 1, or the thumbnails together are more than the Projector can show.
    """

    def __init__(self, images: int = 1000, every_n_epochs: int | None = None, thumbnail_size: int = 32) -> None:
        for name, value in (("images", images), ("every_n_epochs", every_n_epochs), ("thumbnail_size", thumbnail_size)):
            if value is not None and value < 1:
                raise UserError(f"CodeProjector: {name} must be at least 1, got {value}")
        side = sprite_side(images) * thumbnail_size
        if side > LARGEST_SPRITE:
            raise UserError(
                f"CodeProjector: {images=} of {thumbnail_size=} make a picture of {side} pixels a side, but browsers "
                f"show at most {LARGEST_SPRITE}; lower one of the two"
            )
        self.images, self.every_n_epochs, self.thumbnail_size = images, every_n_epochs, thumbnail_size
        self._thumbnails: list[Tensor] = []
        self._positions: list[Tensor] = []

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Output,  # type: ignore[override]
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep thumbnails if they are due."""
        if self._due(trainer):
            self._keep(batch, _evenly(trainer.val_dataloaders, self.images))

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write if it is due."""
        if self._due(trainer):
            shown = _evenly(trainer.val_dataloaders, self.images)
            self._show(trainer, pl_module, f"val_epoch_{trainer.current_epoch + 1}", shown)

    def on_test_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Output,  # type: ignore[override]
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep thumbnails."""
        self._keep(batch, _evenly(trainer.test_dataloaders, self.images))

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write."""
        self._show(trainer, pl_module, "test", _evenly(trainer.test_dataloaders, self.images))

    def _due(self, trainer: L.Trainer) -> bool:
        if self.every_n_epochs is None or trainer.sanity_checking or trainer.state.fn != "fit":
            return False
        return (trainer.current_epoch + 1) % self.every_n_epochs == 0

    def _keep(self, batch: Batch, shown: Tensor) -> None:
        if batch.image.ndim == 4 and batch.image.shape[1] in (1, 3):
            wanted = torch.isin(batch.position, shown.to(batch.position.device))
            # Uint8 at the size in which they are shown: a thousand photographs would otherwise be a gigabyte.
            self._thumbnails.append(thumbnails(batch.image[wanted], self.thumbnail_size).cpu())
            self._positions.append(batch.position[wanted].cpu())

    def _show(self, trainer: L.Trainer, pl_module: L.LightningModule, name: str, shown: Tensor) -> None:
        assert isinstance(pl_module, LitAutoencoder)
        evaluation = pl_module.evaluation()
        pictures, positions = self._thumbnails, self._positions
        self._thumbnails, self._positions = [], []
        gathered = None
        if pictures:  # on all devices or on none: it depends on the shape of the images only
            local = {"pictures": torch.cat(pictures)}
            gathered = gather_in_order(local, torch.cat(positions), trainer.strategy)["pictures"].cpu()
        writer = summary_writer(trainer)
        if writer is None:
            return
        rows = torch.isin(evaluation.index, shown)
        finite = evaluation.code[rows].isfinite().all(1)
        rows = rows.nonzero().flatten()[finite]
        if len(rows):
            folder = Path(writer.get_logdir())
            pictures_of_rows = gathered[finite] if gathered is not None else None
            write_projection(folder, name, evaluation.code[rows], columns(evaluation, rows), pictures_of_rows)


def thumbnails(images: Tensor, longest: int) -> Tensor:
    """(B, C, H, W) images in [0, 1] as (B, C, h, w) uint8 with h and w at most ``longest``."""
    height, width = images.shape[-2:]
    if len(images) and max(height, width) > longest:
        scale = longest / max(height, width)
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        images = interpolate(images, size=size, mode="area")
    return images.nan_to_num().clamp(0, 1).mul(255).round().to(torch.uint8)


def columns(evaluation: Evaluation, rows: Tensor) -> Mapping[str, Sequence[object]]:
    """What the Projector can colour and label the points by: class, kind, row of test_scores.csv, every score."""
    kinds = ["anomaly" if flag else "normal" for flag in evaluation.is_anomaly[rows].tolist()]
    table: dict[str, Sequence[object]] = {"class": evaluation.label[rows].tolist(), "kind": kinds}
    table["index"] = evaluation.index[rows].tolist()
    return table | {name: [f"{v:.4g}" for v in scores[rows].tolist()] for name, scores in evaluation.scores.items()}


def _evenly(loader: Any, images: int) -> Tensor:
    """Positions of at most ``images`` images, evenly spread over a loader's data set."""
    total = len(loader.dataset) if hasattr(getattr(loader, "dataset", None), "__len__") else images
    return torch.linspace(0, max(0, total - 1), min(images, total), dtype=torch.float64).round().long()
