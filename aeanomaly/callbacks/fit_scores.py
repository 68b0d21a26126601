"""Fits scores and thresholds on normal images."""

from __future__ import annotations

import lightning as L
import torch
from torch import Tensor

from aeanomaly.distributed.gather import gather_in_order, on_rank_zero
from aeanomaly.errors import UserError
from aeanomaly.evaluation.row_buffer import GrowingColumns
from aeanomaly.outputs import Output
from aeanomaly.scores.base import Score
from aeanomaly.training.module import LitAutoencoder


class FitScores(L.Callback):
    """After every validation epoch of a fit, fits the scores that need it, then the thresholds.

    It must come first among the callbacks, because the others read what it fits. Anomalous images have no part in
    it: scores see outputs of normal images, thresholds see scores of normal validation images. The fit runs on one
    device, its result is sent to all.

    The last of ``trainer.max_epochs`` is validated whatever ``trainer.check_val_every_n_epoch`` says: what it trained
    would otherwise be neither fitted nor kept.
    """

    def __init__(self) -> None:
        self._interval: int | None = None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Refuse, before training for hours, a false alarm rate that the validation set is too small for."""
        assert isinstance(pl_module, LitAutoencoder)
        sizes = getattr(getattr(trainer, "datamodule", None), "sizes", None)
        if sizes is not None:
            for threshold in pl_module.thresholds.values():
                threshold.fit(torch.zeros(sizes()["val_normal"]))

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Also when resuming within the last epoch, which has no `on_train_epoch_start`."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """See to it that the last epoch is validated."""
        if trainer.check_val_every_n_epoch is not None and trainer.current_epoch + 1 == trainer.max_epochs:
            self._interval, trainer.check_val_every_n_epoch = trainer.check_val_every_n_epoch, 1

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Give the trainer its interval back."""
        if self._interval is not None:
            trainer.check_val_every_n_epoch, self._interval = self._interval, None

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Fit everything on the pass that just ended."""
        assert isinstance(pl_module, LitAutoencoder)
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        if pl_module.evaluated:
            raise UserError("FitScores must come first in trainer.callbacks: another callback has read stale scores")
        for score in pl_module.score_modules.values():
            if score.fitted_on == "validation":
                _fit_everywhere(score, pl_module.normal_outputs(score.reads), trainer)
            elif score.fitted_on == "train":
                _fit_everywhere(score, _training_outputs(score, trainer, pl_module), trainer)
        self._fit_thresholds(pl_module)

    @staticmethod
    def _fit_thresholds(module: LitAutoencoder) -> None:
        evaluation = module.evaluation()
        for row, name in enumerate(module.score_modules):
            normal = evaluation.normal(name)
            for column, threshold in enumerate(module.thresholds.values()):
                if threshold.applies_to(name):
                    module.threshold_values[row, column] = threshold.fit(normal)


def _fit_everywhere(score: Score, outputs: Output, trainer: L.Trainer) -> None:
    """Fit on the first device and copy the fitted buffers to the others."""

    def fit() -> dict[str, Tensor]:
        score.fit(outputs)
        return {name: buffer.cpu() for name, buffer in score.named_buffers()}

    state = on_rank_zero(fit, trainer.strategy)
    if not trainer.is_global_zero:
        # load_state_dict also resizes buffers to the fitted shape.
        score.load_state_dict(state)


@torch.no_grad()
def _training_outputs(score: Score, trainer: L.Trainer, module: LitAutoencoder) -> Output:
    """The outputs of the training images without shuffling, gathered over all devices, ordered by index."""
    loader = getattr(getattr(trainer, "datamodule", None), "train_in_order_dataloader", None)
    if loader is None:
        raise UserError(f"score {score.name!r} is fitted on training images, which needs a OneClassDataModule")
    kept = GrowingColumns()
    with trainer.precision_plugin.val_step_context():
        for batch in loader():
            batch = trainer.strategy.batch_to_device(batch)
            kept.add({"index": batch.position} | module(batch.image).float().only(score.reads).tensors())
    columns = kept.columns()
    index = columns.pop("index")
    return Output.from_tensors(gather_in_order(columns, index, trainer.strategy))
