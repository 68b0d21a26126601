"""When scores are fitted on normal images."""

from __future__ import annotations

import math
from itertools import product
from typing import Any, Literal

import lightning as L
import torch

from aeanomaly.callbacks.base import autoencoder
from aeanomaly.errors import UserError
from aeanomaly.evaluation.thresholds import halves
from aeanomaly.training.schedules import moves_of_schedule


class FitScores(L.Callback):
    """Fits the scores that need it, then calibrates all, in validation passes of a fit.

    It may stand anywhere among the callbacks. Anomalous images have no part: scores see outputs of normal images,
    thresholds see scores of normal validation images. Without this callback every validation fits.

    Args:
        when: ``always``, in every validation; ``improved``, when ``val/loss`` is lower than ever before, which leaves
            the fitted scores out of the other validations, and unfitted in checkpoints of these; ``end``, once, in a
            validation of the best checkpoint after training, which `python -m aeanomaly fit` makes by itself.
    """

    def __init__(self, when: Literal["always", "improved", "end"] = "always") -> None:
        self.when = when
        self._lowest = math.inf

    def state_dict(self) -> dict[str, Any]:
        return {"lowest": self._lowest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._lowest = state_dict["lowest"]

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Refuse, before training for hours, what could not be fitted or would not be validated in the end."""
        module, every, epochs = autoencoder(self, pl_module), trainer.check_val_every_n_epoch, trainer.max_epochs
        if every is not None and epochs is not None and epochs > 0 and epochs % every:
            raise UserError(
                f"trainer.max_epochs {epochs} is no multiple of trainer.check_val_every_n_epoch {every}: what the last "
                "epochs train would be neither validated nor kept; change one of the two"
            )
        sizes = getattr(getattr(trainer, "datamodule", None), "sizes", None)
        if sizes is not None:
            detector, normal = module.detector, torch.zeros(sizes()["val_normal"])
            for score, threshold in product(detector.scores, detector.thresholds.values()):
                if threshold.applies_to(score):
                    threshold.fit(halves(normal)[1] if detector.fitted_on_half(score) else normal)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Refuse batches that would not be validated in the end, now that there is a loader to count them."""
        # Lightning sets no such attribute where the option is a time.
        interval, epochs = getattr(trainer, "val_check_interval", None), trainer.max_epochs
        ends = trainer.max_steps > 0 or (epochs or 0) > 0
        if trainer.check_val_every_n_epoch is None and isinstance(interval, int) and ends:
            batches = _batches(trainer)
            if batches % interval:
                raise UserError(
                    f"this fit has {batches} batches (trainer.max_steps {trainer.max_steps}, max_epochs {epochs}), no "
                    f"multiple of trainer.val_check_interval {interval}: what the last ones train would be neither "
                    f"validated nor kept; set --trainer.val_check_interval to {batches}, or to a number that divides it"
                )

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """After training, have the validation of the best checkpoint fit what was left for the end."""
        if self.when == "end" and trainer.state.fn == "validate":
            autoencoder(self, pl_module).fits_next_pass = True

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Fit after the last batch, before any callback looks at the scores of the pass."""
        last = batch_idx + 1 == trainer.num_val_batches[dataloader_idx]
        if not last or trainer.sanity_checking:
            return
        module, fitting = autoencoder(self, pl_module), trainer.state.fn == "fit"
        improved = self.when == "improved" and fitting and module.validation_loss() < self._lowest
        if improved:
            self._lowest = module.validation_loss()
        module.evaluation(refit=improved or self.when == "always" or not fitting)


def _batches(trainer: L.Trainer) -> int:
    """How many batches a fit has, the last step of whose epochs may be of fewer than others; 0 if nobody knows."""
    steps, in_epoch = moves_of_schedule(trainer, "step"), trainer.num_training_batches
    if in_epoch == math.inf:  # a loader without a length
        return max(0, steps) * trainer.accumulate_grad_batches
    epochs, more = divmod(steps, math.ceil(in_epoch / trainer.accumulate_grad_batches))
    return epochs * int(in_epoch) + more * trainer.accumulate_grad_batches
