"""The half of the LightningModule that trains: optimiser, schedule, steps, and what a resumed run must know."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from lightning.pytorch.plugins import Precision
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.evaluation.detector import Detector
from aeanomaly.models.base import Autoencoder
from aeanomaly.outputs import Batch, Chunk, folded, global_seed
from aeanomaly.training.divergence import check_loss, check_weights
from aeanomaly.training.graphed import graphed_loss
from aeanomaly.training.resuming import recount, restore_random_state, save_random_state
from aeanomaly.training.running_loss import RunningLoss, total
from aeanomaly.training.schedules import moves_of_schedule
from aeanomaly.training.single_steps import STEPS_ON_CPU, STEPS_ON_GPU, single_steps_matter


class TrainingModule(L.LightningModule):
    """Trains a net by its own loss; `aeanomaly.training.module.LitAutoencoder` sets the options and explains them.

    Where nothing looks at single steps, a call of `training_step` is given a chunk of batches and takes a step for each
    (manual optimisation); else it is given one batch, and Lightning takes the step (automatic optimisation). Weights,
    ``global_step`` and logged points are the same.

    Attributes:
        detector: net, scores and their calibration: what is left when training is over.
        chunk_size: batches in a call of this fit; 1 with automatic optimisation.
        running_loss: of the steps since it was last logged.
        cut_call: set it to have the current call end with the current step; the fit must end with that call.
    """

    detector: Detector
    optimizer: OptimizerCallable
    lr_scheduler: LRSchedulerCallable | None
    lr_interval: Literal["epoch", "step"]
    steps_per_call: int | Literal["auto"]
    cuda_graph: bool
    chunk_size, cut_call = 1, False
    running_loss = RunningLoss()
    _recorded: Callable[[Tensor], dict[str, Tensor]] | None = None
    _monitor: str | None = None
    _followed: float | None = None  # what the schedule follows, as the run that is resumed had it
    _restored: dict[str, Any] | None = None

    @property
    def net(self) -> Autoencoder:
        """The autoencoder."""
        return cast("Autoencoder", self.detector.net)

    def setup(self, stage: str) -> None:
        """Decide who takes the steps, and tell the data how many batches make up a call."""
        if stage != "fit":
            return
        auto = STEPS_ON_CPU if self.trainer.strategy.root_device.type == "cpu" else STEPS_ON_GPU
        most = 1 if single_steps_matter(self, TrainingModule) else auto
        if self.steps_per_call != "auto":
            most = min(most, self.steps_per_call)
        data: Any = getattr(self.trainer, "datamodule", None)
        self.chunk_size = data.serve_chunks(most) if hasattr(data, "serve_chunks") else 1
        self.automatic_optimization = self.chunk_size == 1
        # Several devices would send what scores are fitted on to each other before every step, although it is the same
        # on all. Private, but read by torch and Lightning: no public way leaves out some buffers, but not batch norm's.
        fitted = ("detector.scores.", "detector.calibrations.")
        self._ddp_params_and_buffers_to_ignore = [n for n, _ in self.named_buffers() if n.startswith(fitted)]

    def configure_optimizers(self) -> Any:
        """The injected optimiser, for the parameters that are not frozen, and the schedule.

        Raises:
            UserError: if they refuse their options.
        """
        try:
            optimizer = self.optimizer(p for p in self.net.parameters() if p.requires_grad)
            scheduler = self.lr_scheduler(optimizer) if self.lr_scheduler is not None else None
        except (ArithmeticError, ValueError, TypeError) as error:  # how torch refuses a negative learning rate, for one
            raise UserError(f"model.optimizer or model.lr_scheduler: {error}") from error
        if scheduler is None:
            return optimizer
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau) and not hasattr(scheduler, "monitor"):
            raise UserError(
                "model.lr_scheduler: torch's ReduceLROnPlateau does not say what it follows; take "
                "lightning.pytorch.cli.ReduceLROnPlateau with monitor: val/loss"
            )
        self._monitor = scheduler.monitor if isinstance(scheduler, ReduceLROnPlateau) else None
        config: dict[str, Any] = {"scheduler": scheduler}
        if self.automatic_optimization:  # else `_move_schedule` does it
            config |= {"interval": self.lr_interval, "monitor": self._monitor}
            if self._monitor is not None and self.lr_interval == "epoch":
                config["reduce_on_plateau"] = False  # Lightning would move it after the epoch's checkpoints are written
        return {"optimizer": optimizer, "lr_scheduler": config}

    def training_step(self, batches: Batch | Chunk, batch_idx: int) -> Tensor | None:
        """The loss of a batch, for Lightning to take the step; or a step for each batch of a chunk. No label is read.

        Raises:
            UserError: if the trainer was told after the start of the fit to change single steps.
        """
        if isinstance(batches, Batch):
            return self._loss(batches.image)
        trainer: Any = self.trainer
        if trainer.accumulate_grad_batches != 1 or trainer.gradient_clip_val:
            raise UserError(
                "something changes single training steps, such as the number of batches to accumulate, without being "
                "known for it; set model.steps_per_call to 1"
            )
        optimizer: Any = self.optimizers()
        timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]
        step = self.global_step
        # Lightning calls this method within the context of the precision, which is meant for the forward pass alone.
        with torch.autocast(self.device.type, enabled=False):
            for batch in batches:
                optimizer.step(partial(self._loss_and_gradients, batch.image, optimizer))
                step += 1
                self._move_schedule("step")
                if self.running_loss.due(step):
                    self._log_loss(step)
                for timer in timers:
                    timer.on_train_batch_end(trainer)
                if self.cut_call or step == trainer.max_steps or (timers and trainer.should_stop):
                    break
        if trainer.is_last_batch and self._monitor is None:
            self._move_schedule("epoch")
        return None

    def _loss_and_gradients(self, image: Tensor, optimizer: Any) -> Tensor:
        # Called by the optimiser's step, because some optimisers (LBFGS) want several passes for one.
        precision = self.trainer.precision_plugin
        if type(precision) is Precision:  # 32-true, whose context does nothing and takes its time for it
            loss = self._loss(image)
        else:
            with precision.forward_context():
                loss = self._loss(image)
            torch.clear_autocast_cache()  # it holds weights cast to bfloat16, which the step is about to change
        optimizer.zero_grad()
        self.manual_backward(loss)
        return loss

    def _loss(self, image: Tensor) -> Tensor:
        if self.cuda_graph and image.is_cuda and not self.automatic_optimization:
            self._recorded = self._recorded or graphed_loss(self.net, image)
            terms = self._recorded(image)
        else:
            terms, _ = self.net.training_loss(image)
        loss = total(terms)
        if loss.device.type == "cpu":  # a look at it on a GPU would wait for all that it has to do: see `RunningLoss`
            check_loss(self, loss.item(), self.global_step + 1)
        self.running_loss.add(terms, loss)
        return loss

    def _log_loss(self, step: int) -> None:
        self.running_loss.log(self.trainer, step)
        check_loss(self, float(self.running_loss.point or 0.0), step)

    def _move_schedule(self, interval: Literal["epoch", "step"]) -> None:
        schedulers: Any = self.lr_schedulers() if interval == self.lr_interval else None
        if schedulers is not None:
            metric = self.trainer.callback_metrics.get(self._monitor, self._followed) if self._monitor else None
            if metric is not None or self._monitor is None:
                self.lr_scheduler_step(schedulers, metric)

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Move a schedule.

        Raises:
            UserError: if it does not take that, as one that was made for fewer steps.
        """
        if metric is None and isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            return  # Lightning takes it for one that follows nothing: see `configure_optimizers`
        try:
            super().lr_scheduler_step(scheduler, metric)
        except (ArithmeticError, TypeError, ValueError) as error:
            raise UserError(f"model.lr_scheduler: {type(scheduler).__name__}: {error}") from error

    def on_train_batch_end(self, outputs: Any, batch: Batch | Chunk, batch_idx: int) -> None:
        """Give the latest logged point to the progress bar and to callbacks."""
        # With automatic optimisation a step is complete only now, possibly after several batches.
        if self.automatic_optimization and self.running_loss.due(self.global_step):
            self._log_loss(self.global_step)
        if self.running_loss.point is not None:
            self.log("train/loss", self.running_loss.point, logger=False)
            self.running_loss.point = None

    def on_train_start(self) -> None:
        """Plan the schedule and start the running loss; in the middle of an epoch, go on as before.

        Raises:
            UserError: if the schedule must know how long the fit is, and it has no end.
        """
        plan = getattr(self.lr_schedulers(), "plan", None)
        if plan is not None:
            plan(moves_of_schedule(self.trainer, self.lr_interval))
        self.running_loss = RunningLoss(self.trainer.log_every_n_steps)  # type: ignore[attr-defined]
        self._recorded, self.cut_call = None, False
        restored, self._restored = self._restored or {}, None
        self._followed = restored.get("val_metrics", {}).get(self._monitor)
        self.on_train_epoch_start()  # for a process that the checkpoint holds no state of
        restore_random_state(restored, self.global_rank, self.device)
        if "running_loss" in restored:
            self.running_loss.restore(restored["running_loss"], self.device)
            if self.running_loss.due(self.global_step):  # the run was interrupted just before
                self._log_loss(self.global_step)

    def on_train_epoch_start(self) -> None:
        """Draw this epoch's randomness (noise, dropout) from seed and epoch, so that a resumed run repeats it."""
        seed = global_seed()
        if seed is not None:
            torch.manual_seed(folded((seed << 24) + (self.current_epoch << 12) + self.global_rank))

    def on_train_epoch_end(self) -> None:
        """Move a schedule that follows a metric; the others were moved before the validation.

        Raises:
            UserError: if a validation is over and there is no such metric.
        """
        self._recorded = None  # what changes from epoch to epoch (thawed layers) must not be in an old recording
        if isinstance(self.lr_schedulers(), torch.optim.lr_scheduler.ReduceLROnPlateau):  # not what SWA puts there
            known = list(self.trainer.callback_metrics)
            if "val/loss" in known and self._monitor not in (*known, "train/loss"):  # which a resumed run logs later
                raise UserError(
                    f"model.lr_scheduler: there is no {self._monitor} to follow; there are {', '.join(known)}"
                )
            self._move_schedule("epoch")

    def on_validation_start(self) -> None:
        """Go on only with weights that scores can be fitted with."""
        if self.trainer.state.fn == "fit":
            check_weights(self)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the random state; weights that no run could go on from are not kept."""
        if self.trainer.state.fn == "fit":
            check_weights(self)
            checkpoint["running_loss"] = self.running_loss.state(self.trainer)
        save_random_state(checkpoint, self.trainer.strategy, self.device)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the random state until training starts, and count in calls of this fit."""
        kept = ("random_state", "random_state_on_gpu", "running_loss", "val_metrics")
        self._restored = {key: checkpoint[key] for key in kept if key in checkpoint}
        recount(checkpoint, self.chunk_size)
