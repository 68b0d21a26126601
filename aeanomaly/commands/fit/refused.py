"""What Lightning offers and a run here cannot take, with the reason."""

from __future__ import annotations

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    BatchSizeFinder,
    LearningRateFinder,
    ModelCheckpoint,
    WeightAveraging,
)

from aeanomaly.callbacks.fit_scores import FitScores
from aeanomaly.errors import UserError
from aeanomaly.evaluation.metric_name import refuse_anomalous_monitors

_REASONS: dict[type[Callback], str] = {
    BackboneFinetuning: "it wants a LightningModule with a `backbone`; a net may freeze layers itself",
    BatchSizeFinder: "it trains for a few steps with every size, also before the test; set data.batch_size",
    LearningRateFinder: "it wants a LightningModule with an `lr`; `python -m aeanomaly sweep` looks for a rate",
    WeightAveraging: "it averages fitted scores, too, whose sizes change; leave it out",
}


def refuse_no_validation(trainer: Trainer) -> None:
    """Name the option that leaves nothing to test: scores are fitted, and the checkpoint is chosen, by validations.

    Raises:
        UserError: if no step is trained, or no validation batch is looked at, or anomalous images decide how many are.
    """
    for name in ("max_epochs", "max_steps", "limit_train_batches", "limit_val_batches"):
        if getattr(trainer, name) == 0:
            why = "no score would be fitted" if name == "limit_val_batches" else "nothing would be trained"
            raise UserError(f"trainer.{name} is 0: {why}, so there would be nothing to test; raise it")
    if trainer.limit_val_batches < 1:
        name = "overfit_batches" if getattr(trainer, "overfit_batches", 0) else "limit_val_batches"
        raise UserError(
            f"trainer.{name} {getattr(trainer, name)} is a share of all validation batches: the number of anomalous "
            "images would decide how many normal ones fit scores and thresholds; give a whole number of batches, of "
            "which the normal ones come first"
        )


def refuse_no_batch(trainer: Trainer, stage: str) -> None:
    """Name the option that leaves a ``test``, ``validate`` or ``predict`` without images.

    Raises:
        UserError: if it is 0.
    """
    name = f"limit_{'val' if stage == 'validate' else stage}_batches"
    if getattr(trainer, name) == 0:
        raise UserError(f"trainer.{name} is 0: there would be nothing to {stage}; raise it")


def refuse_callbacks(trainer: Trainer) -> None:
    """Look through the callbacks before anything runs.

    Raises:
        UserError: for one that cannot work with scores that are fitted, or chooses by anomalies.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks:
        for kind, reason in _REASONS.items():
            if isinstance(callback, kind):
                raise UserError(f"trainer.callbacks: {type(callback).__name__} cannot be used: {reason}")
    refuse_anomalous_monitors([getattr(callback, "monitor", None) for callback in callbacks])
    improved = any(isinstance(callback, FitScores) and callback.when == "improved" for callback in callbacks)
    kept = [callback.monitor for callback in callbacks if isinstance(callback, ModelCheckpoint)]
    if improved and "val/loss" not in kept and not trainer.fast_dev_run:  # type: ignore[attr-defined]
        raise UserError(
            "trainer.callbacks: FitScores with when: improved fits scores on the net of the lowest val/loss, and no "
            "ModelCheckpoint keeps that one: add one with monitor: val/loss, or take when: always"
        )
