"""The LightningModule that joins a net with scores and thresholds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from aeanomaly.collector import Collector
from aeanomaly.errors import UserError
from aeanomaly.models.base import Autoencoder
from aeanomaly.optim import Adam
from aeanomaly.outputs import Batch, Evaluation, Output
from aeanomaly.scores.base import Score
from aeanomaly.thresholds import Threshold


class LitAutoencoder(L.LightningModule):
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

    Raises:
        UserError: if two scores or two thresholds have the same name.
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
    ) -> None:
        super().__init__()
        for kind, names in (("scores", [s.name for s in scores]), ("thresholds", [t.name for t in thresholds])):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise UserError(f"model.{kind} has two entries named {twice[0]!r}; give one of them another name")
        self.net = net
        self.scores = nn.ModuleDict({score.name: score for score in scores})
        self.thresholds = {threshold.name: threshold for threshold in thresholds}
        self.optimizer, self.lr_scheduler, self.lr_interval = optimizer, lr_scheduler, lr_interval
        # One row per score, one column per threshold; NaN where a threshold does not apply or was not fitted. A single
        # tensor, because threshold names such as fpr0.5 are not valid buffer names.
        values = torch.full((len(self.scores), len(self.thresholds)), float("nan"))
        self.register_buffer("threshold_values", values)
        self._collector = Collector(self.score_modules)
        self._loss_sum, self._loss_count = torch.zeros(()), 0
        self._random_state: Tensor | None = None

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
        shape = getattr(getattr(self.trainer, "datamodule", None), "image_shape", None)
        expected = getattr(self.net, "image_shape", None)
        if shape and expected and tuple(shape) != tuple(expected):
            raise UserError(f"images are {list(shape)} (C, H, W), but model.net.image_shape is {list(expected)}")

    def configure_optimizers(self) -> Any:
        """The injected optimiser and schedule.

        Raises:
            UserError: if they refuse their options.
        """
        try:
            optimizer = self.optimizer(self.net.parameters())
            scheduler = self.lr_scheduler(optimizer) if self.lr_scheduler is not None else None
        except (ValueError, TypeError) as error:  # how torch refuses a negative learning rate, for one
            raise UserError(f"model.optimizer or model.lr_scheduler: {error}") from error
        if scheduler is None:
            return optimizer
        config: dict[str, Any] = {"scheduler": scheduler, "interval": self.lr_interval}
        if isinstance(scheduler, ReduceLROnPlateau):
            config["monitor"] = scheduler.monitor
        return {"optimizer": optimizer, "lr_scheduler": config}

    # -- training ------------------------------------------------------------------------------------------------------

    @property
    def running_loss(self) -> float:
        """Mean training loss since it was last logged; reading it waits for the device."""
        return float(self._loss_sum) / max(1, self._loss_count)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the random state, for a run that is interrupted in the middle of an epoch."""
        checkpoint["random_state"] = torch.get_rng_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the random state until training starts."""
        self._random_state = checkpoint.get("random_state")

    def on_train_start(self) -> None:
        """Start the running loss; in the middle of an epoch, which has no `on_train_epoch_start`, go on as before."""
        self._loss_sum, self._loss_count = torch.zeros((), device=self.device), 0
        if self._random_state is not None:
            torch.set_rng_state(self._random_state.cpu())
            self._random_state = None

    def on_train_epoch_start(self) -> None:
        """Draw this epoch's randomness (noise, dropout) from seed and epoch, so that a resumed run repeats it."""
        seed = os.environ.get("PL_GLOBAL_SEED")  # absent: the user did not ask for reproducibility
        if seed is not None:
            torch.manual_seed((int(seed) << 24) + (self.current_epoch << 12) + self.global_rank)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The net's own loss; labels are not looked at."""
        loss: Tensor = self.net.loss(batch.image)
        # Logging every step would cost more than the step of so small a net: add up, and log now and then.
        self._loss_sum = self._loss_sum + loss.detach()
        self._loss_count += 1
        if (self.global_step + 1) % getattr(self.trainer, "log_every_n_steps", 50) == 0:
            self.log("train/loss", self._loss_sum / self._loss_count, sync_dist=True)
            self._loss_sum, self._loss_count = torch.zeros((), device=self.device), 0
        return loss

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
        normal = batch.image[~batch.is_anomaly]
        if len(normal):
            self._collector.add_loss(self.net.loss(normal), len(normal))
        return self._observe(batch)

    def test_step(self, batch: Batch, batch_idx: int) -> Any:
        """Returns the `Output` of all images, for callbacks."""
        return self._observe(batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The (B,) scores by name; `evaluation` has those of all images at the end."""
        return self._collector.add(batch, self(batch.image).float())

    def _observe(self, batch: Batch) -> Output:
        output: Output = self(batch.image).float()
        if not self.trainer.sanity_checking:
            self._collector.add(batch, output)
        return output

    def on_validation_epoch_end(self) -> None:
        """Log the monitored quantity. Anomalous images have no part in it."""
        if not self.trainer.sanity_checking:
            self.log("val/loss", self._collector.mean_loss(self.trainer.strategy), prog_bar=True, sync_dist=True)

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
