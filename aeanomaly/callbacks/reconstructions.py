"""When a grid of images is drawn beside what the net makes of them."""

from __future__ import annotations

import lightning as L
import torch

from aeanomaly.callbacks.base import EvaluationCallback
from aeanomaly.errors import UserError
from aeanomaly.outputs import Batch, Evaluation, Output
from aeanomaly.plots.reconstruction_grid import Column, reconstruction_grid
from aeanomaly.training.module import LitAutoencoder


class ReconstructionGrid(EvaluationCallback):
    """Draws input, reconstruction and error map of the first normal and anomalous images, with class and scores.

    The grid goes to the tag ``<stage>/reconstructions``; that of the test is also saved as a PNG in the run. Skipped
    where the target of the reconstruction is not an image.

    Args:
        images: how many of each kind.
        every_n_epochs: how often to draw while fitting.

    Raises:
        UserError: if either is below 1.
    """

    def __init__(self, images: int = 8, every_n_epochs: int = 5) -> None:
        super().__init__(every_n_epochs)
        if images < 1:
            raise UserError(f"ReconstructionGrid: images must be at least 1, got {images}")
        self.images = images
        self._kept: list[Column] = []

    def on_images(self, trainer: L.Trainer, output: Output, batch: Batch, stage: str) -> None:
        """Keep the first images of each kind."""
        if not trainer.is_global_zero or output.target.ndim != 4 or output.target.shape[1] not in (1, 3):
            return
        for kind in (False, True):
            missing = self.images - sum(column.is_anomaly == kind for column in self._kept)
            for row in (batch.is_anomaly == kind).nonzero().flatten()[:missing].tolist():
                picture, index = (output.target[row].cpu(), output.reconstruction[row].cpu()), int(batch.index[row])
                self._kept.append(Column(*picture, kind, index))

    def on_evaluation(self, trainer: L.Trainer, module: LitAutoencoder, evaluation: Evaluation, stage: str) -> None:
        kept, self._kept = sorted(self._kept, key=lambda column: column.is_anomaly), []
        if not kept or self.writer(trainer) is None:
            return
        # Rows of an evaluation are ordered by index.
        rows = torch.searchsorted(evaluation.index, torch.tensor([column.index for column in kept]))
        captions = {"class": [str(label) for label in evaluation.label[rows].tolist()]}
        for name, scores in evaluation.scores.items():
            captions[f"{name} score"] = [f"{score:.3g}" for score in scores[rows].tolist()]
        self.show(trainer, reconstruction_grid(kept, captions), f"{stage}/reconstructions", "reconstructions")
