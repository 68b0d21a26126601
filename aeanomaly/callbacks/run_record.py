"""When a run's metrics.json, test_scores.csv and row in HParams are written."""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import yaml

from aeanomaly.callbacks.base import autoencoder
from aeanomaly.evaluation.metric_name import MetricName
from aeanomaly.runs.checkpoints import chosen_checkpoint, read_checkpoint
from aeanomaly.runs.environment import data_of, environment, summary
from aeanomaly.runs.files import write_whole
from aeanomaly.runs.hyperparameters import flatten_config
from aeanomaly.runs.kept_files import keep_to_own_files, rename_folder
from aeanomaly.runs.logger import RunLogger
from aeanomaly.runs.scores_csv import scores_csv

log = logging.getLogger(__name__)


class RunRecord(L.Callback):
    """Keeps the values of a run and writes them, whole or not at all, when fit, validation, test or prediction ends.

    After a test, ``val/*`` values are those of the checkpoint that was tested. After a fit alone they are those of the
    best checkpoint, or, where none is kept, of the last validation.
    """

    def __init__(self) -> None:
        self.record: dict[str, Any] = {}
        self._started: dict[str, float] = {}
        self._train_seconds, self._train_images = 0.0, 0

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Tell all devices the directory."""
        logger = _run_logger(trainer)
        if logger is not None:
            logger.share(trainer.strategy.broadcast(logger.version))

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Have on the disk what was logged up to here: a run that is killed goes on from the checkpoint."""
        logger = _run_logger(trainer)
        if logger is not None:
            logger.finalize("running")

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Follow the folder of a resumed run, should it have been renamed, and forget files outside the folder."""
        own = [str(folder) for c in trainer.checkpoint_callbacks if (folder := getattr(c, "dirpath", None))]
        for folder in own:
            if trainer.ckpt_path and Path(trainer.ckpt_path).resolve().parent == Path(folder).resolve():
                rename_folder(checkpoint, folder)
        keep_to_own_files(checkpoint, own, str(trainer.ckpt_path))

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock, and tell the user how the run is set up."""
        self._started["fit"] = time.perf_counter()
        if trainer.is_global_zero:
            log.info("%s", summary(trainer, pl_module))

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock also when resuming in the middle of an epoch, which has no `on_train_epoch_start`."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._started["epoch"] = time.perf_counter()
        self._started["step"] = trainer.global_step

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop the clock of the epoch: validation is not training."""
        self._started["validation"] = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Go on with the clock, or write what a validation outside a fit shows."""
        if trainer.state.fn != "fit":
            self._write(trainer, _logged(trainer, "val"))
        elif not trainer.sanity_checking:
            self._started["epoch"] += time.perf_counter() - self._started["validation"]

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._train_seconds += time.perf_counter() - self._started["epoch"]
        batches = (trainer.global_step - int(self._started["step"])) * trainer.accumulate_grad_batches
        data = data_of(trainer)
        if hasattr(data, "sizes") and hasattr(data, "batch_size"):
            self._train_images += min(batches * data.batch_size, data.sizes()["train_images"])

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        values: dict[str, Any] = {
            "fit_seconds": time.perf_counter() - self._started["fit"],
            "epochs": trainer.current_epoch,
        }
        if self._train_seconds and self._train_images:
            values["train_images_per_second"] = self._train_images / self._train_seconds
        if trainer.is_global_zero:  # the others may not see the file
            best = chosen_checkpoint(trainer)
            # A file that is not on this disk is read for the test only, which then says its values.
            saved = read_checkpoint(best) if best is not None and best.is_file() else None
            values |= saved.get("val_metrics", {}) if saved is not None else autoencoder(self, pl_module).val_metrics()
        self._write(trainer, values)

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._started["test"] = time.perf_counter()

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write everything, metrics.json last."""
        module = autoencoder(self, pl_module)
        values = _logged(trainer, "test") | {"test_seconds": time.perf_counter() - self._started["test"]}
        if trainer.ckpt_path:  # otherwise the weights at hand were tested, not those of a checkpoint
            self.record = {name: value for name, value in self.record.items() if not name.startswith("val/")}
            values |= module.checkpoint_metrics
            logger = _run_logger(trainer)
            if logger is not None:  # `find_checkpoint` reads it
                values["checkpoint"] = Path(os.path.relpath(trainer.ckpt_path, logger.log_dir)).as_posix()
        evaluation = module.evaluation()
        for score, thresholds in evaluation.thresholds.items():
            values |= {f"threshold/{score}@{name}": v for name, v in thresholds.items() if not math.isnan(v)}
        _write_file(trainer, "test_scores.csv", scores_csv(evaluation, _paths(trainer)))
        logger = _run_logger(trainer)
        if logger is not None and trainer.is_global_zero:
            config = Path(logger.log_dir, "config.yaml")
            logger.log_hparams_row(flatten_config(yaml.safe_load(config.read_text())) if config.is_file() else {})
        self._write(trainer, values)  # last: a run that has them is finished

    def on_predict_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write predictions.csv: scores, and for each threshold whether the image is flagged."""
        evaluation = autoencoder(self, pl_module).evaluation()
        path = _write_file(trainer, "predictions.csv", scores_csv(evaluation, _paths(trainer), decisions=True))
        if path is not None:
            log.info("Predictions of %d images: %s", len(evaluation.index), path)

    def _write(self, trainer: L.Trainer, values: dict[str, Any]) -> None:
        self.record |= environment(trainer) | values
        _write_file(trainer, "metrics.json", json.dumps(self.record, indent=2, sort_keys=True) + "\n")


def _logged(trainer: L.Trainer, stage: str) -> dict[str, Any]:
    """What was logged last of a stage, by tag."""
    named = ((MetricName.parse(tag), tag, value) for tag, value in trainer.callback_metrics.items())
    return {tag: float(value) for name, tag, value in named if name is not None and name.stage == stage}


def _paths(trainer: L.Trainer) -> Sequence[str]:
    """The files of the test images by index; none where they have none."""
    found: Sequence[str] = getattr(data_of(trainer), "paths", {}).get("test", ())
    return found


def _write_file(trainer: L.Trainer, name: str, text: str) -> Path | None:
    """Write into the run's directory on the first device; None where nothing is written."""
    logger = _run_logger(trainer)
    if logger is None or not trainer.is_global_zero:
        return None
    path = Path(logger.log_dir, name)
    write_whole(path, text)
    return path


def _run_logger(trainer: L.Trainer) -> RunLogger | None:
    return next((logger for logger in trainer.loggers if isinstance(logger, RunLogger)), None)
