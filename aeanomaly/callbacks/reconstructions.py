"""When a grid of images is drawn beside what the net makes of them."""

from __future__ import annotations

import lightning as L

from aeanomaly.callbacks.base import EvaluationCallback
from aeanomaly.callbacks.first_images import in_order, rows_to_keep
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
        for row in rows_to_keep(self._kept, batch, self.images):
            picture, kind = (output.target[row].cpu(), output.reconstruction[row].cpu()), bool(batch.is_anomaly[row])
            self._kept.append(Column(*picture, kind, int(batch.index[row])))

    def on_evaluation(self, trainer: L.Trainer, module: LitAutoencoder, evaluation: Evaluation, stage: str) -> None:
        kept, self._kept = self._kept, []
        if not kept or self.writer(trainer) is None:
            return
        kept, rows = in_order(kept, evaluation)
        captions = {"class": [str(label) for label in evaluation.label[rows].tolist()]}
        for name, scores in evaluation.scores.items():
            captions[f"{name} score"] = [f"{score:.3g}" for score in scores[rows].tolist()]
        self.show(trainer, reconstruction_grid(kept, captions), f"{stage}/reconstructions", "reconstructions")
