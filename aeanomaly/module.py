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

from aeanomaly.captured import CapturedStep, as_plain
from aeanomaly.collector import Collector
from aeanomaly.errors import UserError
from aeanomaly.models.base import Autoencoder
from aeanomaly.optim import Adam
from aeanomaly.outputs import Batch, Batches, Evaluation, Output
from aeanomaly.running_loss import RunningLoss
from aeanomaly.schedules import moves_of_schedule
from aeanomaly.scores.base import Score
from aeanomaly.stepping import (
    BATCH_HOOKS,
    STEP_HOOKS,
    PlainStep,
    count_steps,
    leave_call,
    recount_calls,
    step_schedules,
    steps_per_call,
)
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
        steps_per_call: optimiser steps that a call of Lightning's training loop takes at most; ``auto`` for what the
            device is quickest with. It changes the speed only, see `aeanomaly.stepping`.
        cuda_graph: whether to replay a recorded step on a GPU, see `aeanomaly.captured`; of no effect on a CPU.

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
        super().__init__()
        if steps_per_call != "auto" and steps_per_call < 1:
            raise UserError(f"model.steps_per_call must be auto or at least 1, got {steps_per_call}")
        for kind, names in (("scores", [s.name for s in scores]), ("thresholds", [t.name for t in thresholds])):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise UserError(f"model.{kind} has two entries named {twice[0]!r}; give one of them another name")
        self.net = net
        self.scores = nn.ModuleDict({score.name: score for score in scores})
        self.thresholds = {threshold.name: threshold for threshold in thresholds}
        self.optimizer, self.lr_scheduler, self.lr_interval = optimizer, lr_scheduler, lr_interval
        self._most_steps_per_call, self.cuda_graph = steps_per_call, cuda_graph
        # One row per score, one column per threshold; NaN where a threshold does not apply or was not fitted. A single
        # tensor, because threshold names such as fpr0.5 are not valid buffer names.
        values = torch.full((len(self.scores), len(self.thresholds)), float("nan"))
        self.register_buffer("threshold_values", values)
        self._collector = Collector(self.score_modules)
        self._running_loss = RunningLoss()
        self._call: Batches = ()
        self._taken_care_of: Batches = ()
        self._last_of_call = 0
        self.cut_call = False  # set it to have the current call end with the step after the current one
        self._plain_step: PlainStep | None = None
        self._random_state: Tensor | None = None
        self._random_state_on_gpu: Tensor | None = None

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
        plan = getattr(scheduler, "plan", None)
        if plan is not None:
            plan(moves_of_schedule(self.trainer, self.lr_interval))
        config: dict[str, Any] = {"scheduler": scheduler, "interval": self.lr_interval}
        if isinstance(scheduler, ReduceLROnPlateau):
            config["monitor"] = scheduler.monitor
        return {"optimizer": optimizer, "lr_scheduler": config}

    # -- training ------------------------------------------------------------------------------------------------------

    @property
    def running_loss(self) -> float:
        """Mean training loss since it was last logged; reading it waits for the device."""
        return self._running_loss.mean()

    @property
    def steps_per_call(self) -> int:
        """How many batches, at most, the loader of the training images should hand over at a time."""
        most = self._most_steps_per_call
        if most == 1 or any(getattr(type(self), hook) is not getattr(LitAutoencoder, hook) for hook in STEP_HOOKS):
            return 1
        data = type(getattr(self.trainer, "datamodule", None))
        if any(
            hasattr(data, hook) and getattr(data, hook) is not getattr(L.LightningDataModule, hook)
            for hook in BATCH_HOOKS
        ):
            return 1
        fitting = steps_per_call(self.trainer)
        return fitting if most == "auto" else min(fitting, most)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the random state, for a run that is interrupted in the middle of an epoch."""
        checkpoint["random_state"] = torch.get_rng_state()
        if self.device.type == "cuda":
            checkpoint["random_state_on_gpu"] = torch.cuda.get_rng_state(self.device)
        for state in checkpoint.get("optimizer_states", []):
            as_plain(state)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the random state until training starts."""
        self._random_state = checkpoint.get("random_state")
        self._random_state_on_gpu = checkpoint.get("random_state_on_gpu")

    def on_train_start(self) -> None:
        """Start the running loss; in the middle of an epoch, which has no `on_train_epoch_start`, go on as before."""
        self._running_loss = RunningLoss(self.device, self.trainer.log_every_n_steps)  # type: ignore[attr-defined]
        self._plain_step, self.cut_call = None, False
        recount_calls(self.trainer)
        if self._random_state is not None:
            torch.set_rng_state(self._random_state.cpu())
            self._random_state = None
        if self._random_state_on_gpu is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(self._random_state_on_gpu.cpu(), self.device)
            self._random_state_on_gpu = None

    def on_train_epoch_start(self) -> None:
        """Draw this epoch's randomness (noise, dropout) from seed and epoch, so that a resumed run repeats it."""
        self._plain_step = None  # what changes from epoch to epoch (schedules, thawed layers) must not be in an old one
        seed = os.environ.get("PL_GLOBAL_SEED")  # absent: the user did not ask for reproducibility
        if seed is not None:
            torch.manual_seed((int(seed) << 24) + (self.current_epoch << 12) + self.global_rank)

    def on_train_batch_start(self, batch: Batch | Batches, batch_idx: int) -> None:
        """Keep the batches of a call for `optimizer_step`, which is not given them."""
        self._call = () if isinstance(batch, Batch) else batch
        self._last_of_call = len(self._call) - 1

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """Take the steps of this call: all but the last here, the last as Lightning does."""
        others = len(self._call) - 1
        self._taken_care_of = self._call
        if others > 0:
            if self._plain_step is None:
                kind = CapturedStep if self.cuda_graph and self.device.type == "cuda" else PlainStep
                plain = getattr(optimizer, "optimizer", optimizer)
                precision, schedules = self.trainer.precision_plugin, step_schedules(self.trainer)
                self._plain_step = kind(self.net.loss, plain, precision, schedules)
            plain_step, running_loss = self._plain_step, self._running_loss
            before, taken = self.global_step, 0
            while taken < others and not self.cut_call:
                running_loss.add(plain_step.take(self._call[taken].image))
                taken += 1
                if running_loss.due(before + taken):
                    running_loss.log(self.trainer, before + taken)
            count_steps(self.trainer, taken)
            if taken < others:
                self._last_of_call = taken
                leave_call(self.trainer, others - taken)
        self._call = ()
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)

    def training_step(self, batch: Batch | Batches, batch_idx: int) -> Tensor:
        """The net's own loss on the batch, the last one if there are several; labels are not looked at."""
        if not isinstance(batch, Batch) and batch is not self._taken_care_of:
            raise UserError(
                "something changes single training steps, such as the number of batches to accumulate, without being "
                "known for it; set model.steps_per_call to 1"
            )
        last = batch if isinstance(batch, Batch) else batch[self._last_of_call]
        loss: Tensor = self.net.loss(last.image)
        running_loss, step = self._running_loss, self.global_step + 1
        running_loss.add(loss.detach())
        if running_loss.due(step) and not self.trainer.fit_loop._should_accumulate():
            running_loss.log(self.trainer, step)
        if running_loss.point is not None:  # for the progress bar and callbacks
            self.log("train/loss", running_loss.point, logger=False)
            running_loss.point = None
        return loss

    def on_train_end(self) -> None:
        """Let go of the optimiser, and of a recorded step."""
        self._plain_step = None

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
            loss, output = self.net.loss_and_output(batch.image)
            self._collector.add_loss(loss, count)
            return self._observe(batch, output)
        if count:
            self._collector.add_loss(self.net.loss(batch.image[normal]), count)
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
