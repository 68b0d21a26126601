"""Draws the densities of normal and anomalous scores."""

from __future__ import annotations

import lightning as L

from aeanomaly.callbacks.tensorboard import show_figure
from aeanomaly.errors import UserError
from aeanomaly.plots.density import density_figure
from aeanomaly.training.module import LitAutoencoder


class DensityFigure(L.Callback):
    """Draws one figure per score as ``<stage>/<score>/density``, and saves that of the test as a PNG in the run.

    Args:
        every_n_epochs: how often to draw while fitting; drawing takes a tenth of a second per score.

    Raises:
        UserError: if ``every_n_epochs`` is below 1.
    """

    def __init__(self, every_n_epochs: int = 5) -> None:
        if every_n_epochs < 1:
            raise UserError(f"DensityFigure: every_n_epochs must be at least 1, got {every_n_epochs}")
        self.every_n_epochs = every_n_epochs

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw if it is due."""
        due = (trainer.current_epoch + 1) % self.every_n_epochs == 0 or trainer.state.fn != "fit"
        if due and not trainer.sanity_checking:
            self._draw(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw and save."""
        self._draw(trainer, pl_module, "test")

    @staticmethod
    def _draw(trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        assert isinstance(pl_module, LitAutoencoder)
        evaluation = pl_module.evaluation()
        if not trainer.is_global_zero:
            return
        for name in evaluation.scores:
            normal, anomalous = evaluation.normal(name), evaluation.anomalous(name)
            figure = density_figure(name, normal, anomalous, evaluation.thresholds[name])
            show_figure(trainer, figure, f"{stage}/{name}/density", f"density_{name}" if stage == "test" else None)
