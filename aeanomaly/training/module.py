"""The LightningModule that joins a net with scores and thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from aeanomaly.errors import UserError
from aeanomaly.evaluation.collector import Collector
from aeanomaly.evaluation.thresholds import Threshold
from aeanomaly.models.base import Autoencoder
from aeanomaly.outputs import Batch, Evaluation, Output
from aeanomaly.scores.base import Score
from aeanomaly.training.optim import Adam
from aeanomaly.training.running_loss import total
from aeanomaly.training.training_module import TrainingModule


class LitAutoencoder(TrainingModule):
    """Trains an autoencoder on normal images and scores all images.

    Every score is computed in every evaluation. After a validation, test or prediction epoch, `evaluation` gives the
    scores of all images to callbacks.

    Args:
        net: the autoencoder.
        scores: the anomaly scores to compute and compare; their names must differ.
        thresholds: the decision rules to report; their names must differ.
        optimizer: makes the optimiser from the net's parameters.
        lr_scheduler: makes the learning-rate schedule from the optimiser; None for a constant rate.
        lr_interval: whether the schedule moves every epoch or every step.
        steps_per_call: optimiser steps that a call of Lightning's training loop takes at most; ``auto`` for what the
            device is quickest with. It changes the speed only, see `TrainingModule`.
        cuda_graph: experimental: whether to replay a recorded loss on a GPU, see `aeanomaly.training.graphed`; no
            effect on a CPU.

    Raises:
        UserError: if two scores or two thresholds have the same name, or ``steps_per_call`` is below 1.
    """

    threshold_values: Tensor

    def __init__(
        self,
        net: Autoencoder,
        scores: Sequence[Score],
        thresholds: Sequence[Threshold] = (),
        optimizer: OptimizerCallable = Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_interval: Literal["epoch", "step"] = "epoch",
        steps_per_call: int | Literal["auto"] = "auto",
        cuda_graph: bool = False,
    ) -> None:
        super().__init__(optimizer, lr_scheduler, lr_interval, steps_per_call, cuda_graph)
        self.net = net
        for kind, names in (("scores", [s.name for s in scores]), ("thresholds", [t.name for t in thresholds])):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise UserError(f"model.{kind} has two entries named {twice[0]!r}; give one of them another name")
        self.scores = nn.ModuleDict({score.name: score for score in scores})
        self.thresholds = {threshold.name: threshold for threshold in thresholds}
        # One row per score, one column per threshold; NaN where a threshold does not apply or was not fitted. A single
        # tensor, because threshold names such as fpr0.5 are not valid buffer names.
        values = torch.full((len(self.scores), len(self.thresholds)), float("nan"))
        self.register_buffer("threshold_values", values)
        self._collector = Collector(self.score_modules)

    @property
    def score_modules(self) -> dict[str, Score]:
        """The scores by name."""
        return {name: score for name, score in self.scores.items() if isinstance(score, Score)}

    def forward(self, x: Tensor) -> Output:
        """The net's output for (B, C, H, W) images."""
        output: Output = self.net(x)
        return output

    def setup(self, stage: str) -> None:
        """Check that the net fits the images, before anything runs."""
        super().setup(stage)
        shape = getattr(getattr(self.trainer, "datamodule", None), "image_shape", None)
        expected = getattr(self.net, "image_shape", None)
        if shape and expected and tuple(shape) != tuple(expected):
            raise UserError(f"images are {list(shape)} (C, H, W), but model.net.image_shape is {list(expected)}")

    # -- evaluation ----------------------------------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        """Forget the previous pass."""
        # While fitting, fitted scores wait for the end of the epoch: FitScores refits them on this very pass.
        self._collector.reset(defer_fitted=self.trainer.state.fn == TrainerFn.FITTING)

    def on_test_epoch_start(self) -> None:
        """Forget the previous pass."""
        self._collector.reset()

    def on_predict_epoch_start(self) -> None:
        """Forget the previous pass."""
        self._collector.reset()

    def validation_step(self, batch: Batch, batch_idx: int) -> Any:
        """Loss on the normal images only; returns the `Output` of all, for callbacks."""
        normal = ~batch.is_anomaly
        count = int(normal.sum())
        if 0 < count == len(normal):  # nearly always: the loader has the normal images first
            terms, output = self.net.training_loss(batch.image)
            self._collector.add_loss(total(terms), count)
            return self._observe(batch, output)
        if count:
            self._collector.add_loss(total(self.net.training_loss(batch.image[normal])[0]), count)
        return self._observe(batch, self(batch.image))

    def test_step(self, batch: Batch, batch_idx: int) -> Any:
        """Returns the `Output` of all images, for callbacks."""
        return self._observe(batch, self(batch.image))

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The (B,) scores by name; `evaluation` has those of all images at the end."""
        return self._collector.add(batch, self(batch.image).float())

    def _observe(self, batch: Batch, output: Output) -> Output:
        output = output.float()
        if not self.trainer.sanity_checking:
            self._collector.add(batch, output)
        return output

    def on_validation_epoch_end(self) -> None:
        """Log the monitored quantity. Anomalous images have no part in it."""
        if not self.trainer.sanity_checking:
            self.log("val/loss", self._collector.mean_loss(self.trainer.strategy), prog_bar=True, sync_dist=True)
            super().on_validation_epoch_end()

    def normal_outputs(self, reads: Sequence[str]) -> Output:
        """The named fields of the normal images of the current validation pass, gathered, ordered by index."""
        return self._collector.normal_outputs(reads, self.trainer.strategy)

    @property
    def evaluated(self) -> bool:
        """Whether `evaluation` was already read in this pass."""
        return self._collector.cached is not None

    def evaluation(self) -> Evaluation:
        """All images of the pass that just ended. Every device must call it, as it gathers.

        Raises:
            UserError: if a score needs fitting and never was.
        """
        values = self.threshold_values.tolist()
        table = {
            score: dict(zip(self.thresholds, row, strict=True)) for score, row in zip(self.scores, values, strict=True)
        }
        return self._collector.evaluation(self.trainer.strategy, table)
