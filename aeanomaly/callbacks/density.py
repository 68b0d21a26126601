"""When the densities of normal and anomalous scores are drawn."""

from __future__ import annotations

import lightning as L

from aeanomaly.callbacks.base import EvaluationCallback
from aeanomaly.outputs import Evaluation
from aeanomaly.plots.density import density_figure
from aeanomaly.training.module import LitAutoencoder


class DensityFigure(EvaluationCallback):
    """Draws one figure per score as ``<stage>/<score>/density``, and saves that of the test as a PNG in the run.

    Args:
        every_n_epochs: how often to draw while fitting; drawing takes a tenth of a second per score.
    """

    def __init__(self, every_n_epochs: int = 5) -> None:
        super().__init__(every_n_epochs)

    def on_evaluation(self, trainer: L.Trainer, module: LitAutoencoder, evaluation: Evaluation, stage: str) -> None:
        if self.writer(trainer) is not None:
            for name in evaluation.scores:
                normal, anomalous = evaluation.normal(name), evaluation.anomalous(name)
                figure = density_figure(name, normal, anomalous, evaluation.thresholds[name])
                self.show(trainer, figure, f"{stage}/{name}/density", f"density_{name}")
