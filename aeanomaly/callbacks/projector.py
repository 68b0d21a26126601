"""When the codes of images are written for TensorBoard's Projector: what the net sees as alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from aeanomaly.callbacks.base import EvaluationCallback
from aeanomaly.distributed.gather import gather_in_order
from aeanomaly.errors import UserError
from aeanomaly.outputs import Batch, Evaluation, Output
from aeanomaly.runs.projector import LARGEST_SPRITE, columns, sprite_side, thumbnails, write_projection
from aeanomaly.training.module import LitAutoencoder


class CodeProjector(EvaluationCallback):
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

    only_validations_of_a_fit = True

    def __init__(self, images: int = 1000, every_n_epochs: int | None = None, thumbnail_size: int = 32) -> None:
        super().__init__(every_n_epochs)
        for name, value in (("images", images), ("thumbnail_size", thumbnail_size)):
            if value < 1:
                raise UserError(f"CodeProjector: {name} must be at least 1, got {value}")
        side = sprite_side(images) * thumbnail_size
        if side > LARGEST_SPRITE:
            raise UserError(
                f"CodeProjector: {images=} of {thumbnail_size=} make a picture of {side} pixels a side, but browsers "
                f"show at most {LARGEST_SPRITE}; lower one of the two"
            )
        self.images, self.thumbnail_size = images, thumbnail_size
        self._kept: list[tuple[Tensor, Tensor]] = []  # thumbnails and indices

    def on_images(self, trainer: L.Trainer, output: Output, batch: Batch, stage: str) -> None:
        """Keep the thumbnails of the images to be shown."""
        if batch.image.ndim == 4 and batch.image.shape[1] in (1, 3):
            shown = torch.isin(batch.index, self._shown(trainer, stage).to(batch.index.device))
            # Uint8 at the size in which they are shown: a thousand photographs would otherwise be a gigabyte.
            pictures = thumbnails(batch.image[shown], self.thumbnail_size).cpu()
            self._kept.append((pictures, batch.index[shown].cpu()))

    def on_evaluation(self, trainer: L.Trainer, module: LitAutoencoder, evaluation: Evaluation, stage: str) -> None:
        kept, self._kept = self._kept, []
        gathered = None
        if kept:  # on all devices or on none: it depends on the shape of the images only
            pictures, indices = map(torch.cat, zip(*kept, strict=True))
            gathered = gather_in_order({"pictures": pictures}, indices, trainer.strategy)["pictures"].cpu()
        writer = self.writer(trainer)
        if writer is None:
            return
        rows = torch.isin(evaluation.index, self._shown(trainer, stage)).nonzero().flatten()
        finite = evaluation.code[rows].isfinite().all(1)
        rows = rows[finite]
        if len(rows):
            name = "test" if stage == "test" else f"val_epoch_{trainer.current_epoch + 1}"
            shown = gathered[finite] if gathered is not None else None
            folder, code = Path(writer.get_logdir()), evaluation.code[rows]
            write_projection(folder, name, code, columns(evaluation, rows), shown)

    def _shown(self, trainer: L.Trainer, stage: str) -> Tensor:
        """Indices of at most `images` images, evenly spread over the data set of the pass."""
        loader = trainer.test_dataloaders if stage == "test" else trainer.val_dataloaders
        data: Any = getattr(loader, "dataset", None)
        total = len(data) if hasattr(data, "__len__") else self.images
        return torch.linspace(0, max(0, total - 1), min(self.images, total), dtype=torch.float64).round().long()
