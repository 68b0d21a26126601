"""Writes what a run leaves behind: metrics.json, test_scores.csv and the row in HParams."""

from __future__ import annotations

import json
import logging
import math
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml

import aeanomaly
from aeanomaly.outputs import Evaluation, global_seed
from aeanomaly.runs.files import write_whole
from aeanomaly.runs.hyperparameters import flatten_config
from aeanomaly.runs.logger import RunLogger
from aeanomaly.training.module import LitAutoencoder

log = logging.getLogger(__name__)


class RunRecord(L.Callback):
    """Keeps the figures of a run and writes them, whole or not at all, when fit, validation, test or prediction ends.

    ``val/*`` figures are those of the epoch with the lowest ``val/loss``, which is also the checkpoint that is tested.
    """

    def __init__(self) -> None:
        self.record: dict[str, Any] = {}
        self._best: dict[str, float] = {}
        self._keep_best = True
        self._started: dict[str, float] = {}
        self._train_seconds, self._train_images = 0.0, 0

    def state_dict(self) -> dict[str, Any]:
        """The best epoch so far, so that a resumed run does not forget it."""
        return {"best": self._best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        if self._keep_best:
            self._best = state_dict["best"]

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Tell all devices the directory, and the user how the run is set up."""
        logger = _run_logger(trainer)
        if logger is not None:
            logger.share(trainer.strategy.broadcast(logger.version))
            # A finished run goes on in a new directory, where the best checkpoint is that of the new epochs only.
            self._keep_best = logger.continued

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._started["fit"] = time.perf_counter()
        if trainer.is_global_zero:
            log.info("%s", _summary(trainer, pl_module))

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock also when resuming in the middle of an epoch, which has no `on_train_epoch_start`."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock of the epoch."""
        self._started["epoch"] = time.perf_counter()
        self._started["step"] = trainer.global_step

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop the clock of the epoch: validation is not training."""
        self._started["validation"] = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remember the figures if this epoch is the best."""
        if trainer.sanity_checking:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        if trainer.state.fn != "fit":
            self._write(trainer, pl_module, metrics)
            return
        self._started["epoch"] += time.perf_counter() - self._started["validation"]
        if not self._best or _loss(metrics) < _loss(self._best):
            self._best = metrics

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Account for the epoch."""
        self._train_seconds += time.perf_counter() - self._started["epoch"]
        batches = (trainer.global_step - int(self._started["step"])) * trainer.accumulate_grad_batches
        data = _data(trainer)
        if hasattr(data, "sizes") and hasattr(data, "batch_size"):
            self._train_images += min(batches * data.batch_size, data.sizes()["train_images"])

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write what is known after training."""
        figures: dict[str, Any] = {
            "fit_seconds": time.perf_counter() - self._started["fit"],
            "epochs": trainer.current_epoch,
        }
        if self._train_seconds and self._train_images:
            figures["train_images_per_second"] = self._train_images / self._train_seconds
        self._write(trainer, pl_module, self._best | figures)

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._started["test"] = time.perf_counter()

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write everything, the HParams row last."""
        assert isinstance(pl_module, LitAutoencoder)
        metrics: dict[str, Any] = {
            name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("test/")
        }
        metrics["test_seconds"] = time.perf_counter() - self._started["test"]
        evaluation = pl_module.evaluation()
        logger = _run_logger(trainer)
        if logger is not None and trainer.is_global_zero:
            write_whole(Path(logger.log_dir, "test_scores.csv"), scores_csv(evaluation))
        self._write(trainer, pl_module, metrics | _threshold_values(evaluation))
        if logger is not None and trainer.is_global_zero:
            config = Path(logger.log_dir, "config.yaml")
            flat = flatten_config(yaml.safe_load(config.read_text())) if config.is_file() else {}
            logger.log_hparams_row(flat)

    def on_predict_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write predictions.csv: scores, and for each threshold whether the image is flagged."""
        assert isinstance(pl_module, LitAutoencoder)
        evaluation = pl_module.evaluation()
        logger = _run_logger(trainer)
        if logger is not None and trainer.is_global_zero:
            path = Path(logger.log_dir, "predictions.csv")
            write_whole(path, scores_csv(evaluation, decisions=True))
            log.info("Predictions of %d images: %s", len(evaluation.index), path)

    def _write(self, trainer: L.Trainer, pl_module: L.LightningModule, figures: dict[str, Any]) -> None:
        self.record |= _environment(trainer) | figures
        logger = _run_logger(trainer)
        if logger is not None and trainer.is_global_zero:
            text = json.dumps({key: self.record[key] for key in sorted(self.record)}, indent=2)
            write_whole(Path(logger.log_dir, "metrics.json"), text + "\n")


def _loss(metrics: dict[str, float]) -> float:
    """``val/loss``, infinite where there is none or it is NaN, as for the choice of the best checkpoint."""
    loss = metrics.get("val/loss", math.inf)
    return math.inf if math.isnan(loss) else loss


def scores_csv(evaluation: Evaluation, decisions: bool = False) -> str:
    """One row per image: index, class, is_anomaly, one column per score.

    Args:
        evaluation: the images and their scores.
        decisions: leave out the truth and add a column ``<score>@<threshold>`` of 0 and 1 per threshold.
    """
    columns: dict[str, list[str]] = {"index": [str(i) for i in evaluation.index.tolist()]}
    if not decisions:
        columns["class"] = [str(label) for label in evaluation.label.tolist()]
        columns["is_anomaly"] = [str(int(flag)) for flag in evaluation.is_anomaly.tolist()]
    for name, scores in evaluation.scores.items():
        columns[name] = [f"{score:.9g}" for score in scores.tolist()]  # nine digits restore a float32 exactly
        if decisions:
            for threshold, value in evaluation.thresholds[name].items():
                if not math.isnan(value):
                    columns[f"{name}@{threshold}"] = [str(int(flag)) for flag in (scores > value).tolist()]
    rows = [",".join(columns), *(",".join(row) for row in zip(*columns.values(), strict=True))]
    return "\n".join(rows) + "\n"


def _data(trainer: L.Trainer) -> Any:
    """The DataModule, which library users may do without."""
    return getattr(trainer, "datamodule", None)


def _run_logger(trainer: L.Trainer) -> RunLogger | None:
    return next((logger for logger in trainer.loggers if isinstance(logger, RunLogger)), None)


def _threshold_values(evaluation: Evaluation) -> dict[str, float]:
    return {
        f"threshold/{score}@{name}": value
        for score, values in evaluation.thresholds.items()
        for name, value in values.items()
        if not math.isnan(value)
    }


def _environment(trainer: L.Trainer) -> dict[str, Any]:
    data = _data(trainer)
    record: dict[str, Any] = {
        "seed": global_seed(),
        "precision": str(trainer.precision),  # the effective one: fp16 on a CPU silently becomes bf16
        "accelerator": trainer.strategy.root_device.type,
        "devices": trainer.world_size,
        "version_torch": str(torch.__version__),
        "version_lightning": L.__version__,
        "version_aeanomaly": aeanomaly.__version__,
    }
    if data is not None:
        record["data"] = type(data).__name__
        record["data_source"] = getattr(data, "source", type(data).__name__)
        if hasattr(data, "sizes"):
            record |= data.sizes()
    return record


def _summary(trainer: L.Trainer, module: L.LightningModule) -> str:
    net = getattr(module, "net", module)
    count = sum(parameter.numel() for parameter in net.parameters())
    data = _data(trainer)
    sizes = data.sizes() if hasattr(data, "sizes") else {}
    images = f", {sizes['train_images']:,} training images" if sizes else ""
    device, threads = trainer.strategy.root_device.type, torch.get_num_threads()
    on_cpu = f" ({threads} thread{'s' if threads > 1 else ''})" if device == "cpu" else ""
    return (
        f"{type(net).__name__} with {count:,} parameters{images}, on {trainer.world_size} x {device}{on_cpu} at "
        f"{trainer.precision}"
    )
