"""The half of the LightningModule that trains: optimiser, schedule, steps, and what a resumed run must know."""

from __future__ import annotations

import os
from functools import reduce
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.models.base import Autoencoder
from aeanomaly.outputs import Batch, Batches
from aeanomaly.training.captured import CapturedStep, as_plain
from aeanomaly.training.running_loss import RunningLoss
from aeanomaly.training.schedules import moves_of_schedule
from aeanomaly.training.stepping import (
    BATCH_HOOKS,
    STEP_HOOKS,
    PlainStep,
    count_steps,
    leave_call,
    recount_calls,
    step_schedules,
    steps_per_call,
)


class TrainingModule(L.LightningModule):
    """Trains a net by its own loss; see `aeanomaly.training.module.LitAutoencoder` for the arguments.

    Attributes:
        cut_call: set it to have the current call end with the step after the current one.

    Raises:
        UserError: if ``steps_per_call`` is below 1.
    """

    def __init__(
        self,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None,
        lr_interval: Literal["epoch", "step"],
        steps_per_call: int | Literal["auto"],
        cuda_graph: bool,
    ) -> None:
        super().__init__()
        if steps_per_call != "auto" and steps_per_call < 1:
            raise UserError(f"model.steps_per_call must be auto or at least 1, got {steps_per_call}")
        self.optimizer, self.lr_scheduler, self.lr_interval = optimizer, lr_scheduler, lr_interval
        self._most_steps_per_call, self.cuda_graph = steps_per_call, cuda_graph
        self._running_loss = RunningLoss()
        self._call: Batches = ()
        self._taken_care_of: Batches = ()
        self._last_of_call = 0
        self.cut_call = False
        self._plain_step: PlainStep | None = None
        self._random_state: Tensor | None = None
        self._random_state_on_gpu: Tensor | None = None

    def configure_optimizers(self) -> Any:
        """The injected optimiser and schedule.

        Raises:
            UserError: if they refuse their options.
        """
        try:
            optimizer = self.optimizer(p for p in self.net.parameters() if p.requires_grad)
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

    @property
    def net(self) -> Autoencoder:
        """The autoencoder that is trained."""
        raise NotImplementedError

    @property
    def running_loss(self) -> float:
        """Mean training loss since it was last logged; reading it waits for the device."""
        return self._running_loss.mean()

    @property
    def steps_per_call(self) -> int:
        """How many batches, at most, the loader of the training images should hand over at a time."""
        most = self._most_steps_per_call
        if most == 1 or any(getattr(type(self), hook) is not getattr(TrainingModule, hook) for hook in STEP_HOOKS):
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
                self._plain_step = kind(self._loss, plain, precision, schedules)
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
        loss = self._loss(last.image)
        running_loss, step = self._running_loss, self.global_step + 1
        running_loss.add(loss.detach())
        if running_loss.due(step) and not self.trainer.fit_loop._should_accumulate():
            running_loss.log(self.trainer, step)
        if running_loss.point is not None:  # for the progress bar and callbacks
            self.log("train/loss", running_loss.point, logger=False)
            running_loss.point = None
        return loss

    def _loss(self, image: Tensor) -> Tensor:
        terms, _ = self.net.training_loss(image)
        return reduce(torch.add, terms.values())

    def on_train_end(self) -> None:
        """Let go of the optimiser, and of a recorded step."""
        self._plain_step = None
