"""The LightningModule: trains a net, scores images in every evaluation, logs metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.evaluation.collector import Collector
from aeanomaly.evaluation.detector import Detector
from aeanomaly.evaluation.metric_name import MetricName
from aeanomaly.evaluation.thresholds import Threshold
from aeanomaly.models.base import Autoencoder
from aeanomaly.outputs import Batch, Evaluation, Output
from aeanomaly.scores.base import Score
from aeanomaly.scores.reconstruction import ReconstructionError
from aeanomaly.training.description import describe
from aeanomaly.training.fitting import fit_scores
from aeanomaly.training.optim import Adam
from aeanomaly.training.running_loss import total
from aeanomaly.training.training_module import TrainingModule


class LitAutoencoder(TrainingModule):
    """Trains an autoencoder on normal images and scores all images.

    Every score is computed in every evaluation, and its metrics are logged. After a validation, test or prediction
    epoch, `evaluation` gives the scores of all images to callbacks.

    Args:
        net: the autoencoder.
        scores: the anomaly scores to compute and compare, by name; None for the reconstruction error alone.
        thresholds: the decision rules to report, by name.
        optimizer: makes the optimiser from the net's parameters.
        lr_scheduler: makes the learning-rate schedule from the optimiser; None for a constant rate.
        lr_interval: whether the schedule moves every epoch or every step.
        steps_per_call: optimiser steps that a call of Lightning's training loop takes at most; ``auto`` for what the
            device is quickest with. It changes the speed only, see `TrainingModule`.
        cuda_graph: experimental: whether to replay a recorded loss on a GPU, see `aeanomaly.training.graphed`; no
            effect on a CPU.

    Attributes:
        fits_next_pass: set it to have the next validation fit the scores, which otherwise only those of a fit do.
        checkpoint_metrics: the ``val/*`` values of the checkpoint that was loaded last.
        images: what a checkpoint says of the images: their ``shape`` [C, H, W], and where they come from picture files
            the ``fit`` by which these were brought to it, see `aeanomaly.data.pictures.Geometry`.

    Raises:
        UserError: if a name of a score or threshold cannot be used, or ``steps_per_call`` is below 1.
    """

    def __init__(
        self,
        net: Autoencoder,
        scores: dict[str, Score] | None = None,
        thresholds: dict[str, Threshold] | None = None,
        optimizer: OptimizerCallable = Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_interval: Literal["epoch", "step"] = "epoch",
        steps_per_call: int | Literal["auto"] = "auto",
        cuda_graph: bool = False,
    ) -> None:
        super().__init__()
        if steps_per_call != "auto" and steps_per_call < 1:
            raise UserError(f"model.steps_per_call must be auto or at least 1, got {steps_per_call}")
        self.optimizer, self.lr_scheduler, self.lr_interval = optimizer, lr_scheduler, lr_interval
        self.steps_per_call, self.cuda_graph = steps_per_call, cuda_graph
        scores = {"reconstruction": ReconstructionError()} if scores is None else scores
        self.detector = Detector(net, scores, thresholds or {})
        self.fits_next_pass = False
        self.checkpoint_metrics: dict[str, float] = {}
        self.images: dict[str, Any] = {}
        self._collector = Collector(self.detector)
        self._evaluation: Evaluation | None = None

    def forward(self, x: Tensor) -> Output:
        """The net's output for (B, C, H, W) images."""
        output: Output = self.net(x)
        return output

    def setup(self, stage: str) -> None:
        """Check that the net fits the images, before anything runs, and see that checkpoints describe the module."""
        super().setup(stage)
        data: Any = getattr(self.trainer, "datamodule", None)
        shape = getattr(data, "image_shape", None)
        expected = self.net.image_shape
        if shape and expected and tuple(shape) != tuple(expected):
            raise UserError(
                f"images are {list(shape)} (C, H, W), but the net's image_shape is {list(expected)}: leave that "
                "out, and it is taken from the data"
            )
        if shape or expected:
            fit = getattr(getattr(data, "geometry", None), "fit", None)
            self.images = {"shape": list(shape or expected or ()), **({"fit": fit} if fit else {})}
        if not self.hparams:  # not made from the command line, which knows its configuration
            try:
                parts = {"net": self.net, "scores": self.detector.score_modules, "thresholds": self.detector.thresholds}
                described = {name: describe(part) for name, part in parts.items()}
            except TypeError:  # load_from_checkpoint then wants the parts that cannot be described
                return
            described["_instantiator"] = "lightning.pytorch.cli.instantiate_module"
            self.save_hyperparameters(described, logger=False)

    # -- evaluation ----------------------------------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        """While fitting, fitted scores wait for the end of the epoch: they are refitted on this very pass."""
        self._start_pass(fit=self.trainer.state.fn == "fit" or self.fits_next_pass)
        self.fits_next_pass = False

    def on_test_epoch_start(self) -> None:
        """Forget the previous pass."""
        self._start_pass()

    on_predict_epoch_start = on_test_epoch_start

    def _start_pass(self, fit: bool = False) -> None:
        self._collector, self._evaluation = Collector(self.detector, fit), None

    def validation_step(self, batch: Batch, batch_idx: int) -> Any:
        """Loss on the normal images only; returns the `Output` of all, for callbacks."""
        normal = ~batch.is_anomaly
        count = int(normal.sum())
        output: Output | None = None
        if count:
            alone = count == len(normal)  # always, with our loaders, whose batches are of one kind
            with _fixed_seed(batch_idx, self.device):
                terms, of_normal = self.net.training_loss(batch.image if alone else batch.image[normal])
            self._collector.add_loss(total(terms), count)
            output = of_normal if alone else None
        return self._observe(batch, self(batch.image) if output is None else output)

    def test_step(self, batch: Batch, batch_idx: int) -> Any:
        """Returns the `Output` of all images, for callbacks."""
        return self._observe(batch, self(batch.image))

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The (B,) scores by name; `evaluation` has those of all images at the end."""
        return self._collector.add(batch, self.detector.complete(self(batch.image)))

    def _observe(self, batch: Batch, output: Output) -> Output:
        output = self.detector.complete(output)
        if not self.trainer.sanity_checking:
            self._collector.add(batch, output)
        return output

    def validation_loss(self) -> float:
        """Mean loss of the normal images of the pass that just ended. Every device must call it, as it gathers."""
        return self._collector.mean_loss(self.trainer.strategy)

    def evaluation(self, refit: bool = True) -> Evaluation:
        """All images of the pass that just ended, made once. Every device must call it, as it gathers.

        In a validation of a fit, the first call fits the scores that need it, and calibrates all.

        Args:
            refit: False leaves scores that need fitting out of this pass, unfitted: what they know is of another state
                of the net.

        Raises:
            UserError: if a score needs fitting and never was.
        """
        if self._evaluation is None:
            if not refit:
                self.detector.forget(self._collector.deferred)
                self._collector.deferred.clear()
            fit_scores(self._collector, self.trainer)
            self._evaluation = self._collector.evaluation(self.trainer.strategy)
        return self._evaluation

    def on_validation_epoch_end(self) -> None:
        """Log the monitored quantity, in which anomalous images have no part, and the metrics of every score."""
        if not self.trainer.sanity_checking:
            self.log(str(MetricName("val", "loss")), self.validation_loss(), prog_bar=True, sync_dist=True)
            self._log_metrics("val")

    def on_test_epoch_end(self) -> None:
        """Log the metrics of every score."""
        self._log_metrics("test")

    def _log_metrics(self, stage: str) -> None:
        for score, metrics in self.evaluation().metrics.items():
            for column, value in metrics.items():
                # Every device has the same value; sync_dist only tells Lightning that this is so.
                self.log(str(MetricName.of_column(stage, column, score)), value, sync_dist=True)
        if not self.automatic_optimization and self.trainer.loggers and self.global_step:
            # Have the metrics stand at the latest step; Lightning counts calls.
            step = float(self.global_step - (self.trainer.state.fn == "fit"))
            self.log_dict({"step": step, "epoch": float(self.current_epoch)})

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the latest validation's metrics beside the weights they belong to, and what images they take."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["images"] = self.images
        checkpoint["val_metrics"] = self.val_metrics()

    def val_metrics(self) -> dict[str, float]:
        """What was logged of the latest validation, by tag, as a checkpoint keeps it."""
        # The trainer still knows the metrics that scores had in an earlier validation and not in the latest.
        gone = {name for name in self.detector.scores if not self.detector.calibration(name).fitted}
        logged = ((MetricName.parse(tag), tag, float(value)) for tag, value in self.trainer.callback_metrics.items())
        known = {tag: value for name, tag, value in logged if name is None or name.score not in gone}
        return {tag: value for tag, value in known.items() if tag.startswith("val/")}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the metrics from a checkpoint."""
        super().on_load_checkpoint(checkpoint)
        self.checkpoint_metrics = dict(checkpoint.get("val_metrics", {}))


@contextmanager
def _fixed_seed(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers that are the same in every validation, so that losses can be compared; training's go on after."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
