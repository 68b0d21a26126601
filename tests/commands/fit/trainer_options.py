"""What becomes of the options of Lightning's Trainer in a fit here, as docs/reliability.md has it.

Each line is run by test_trainer_options.py: a fit of two epochs of 37 steps on the digits.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.training.parts import scalars, state

RUN = Path("lightning_logs", "version_0")
STEPS = 74


@dataclass(frozen=True)
class Works:
    """An option that does what Lightning's documentation says.

    Attributes:
        option: name and value, as they stand in the table.
        words: of the command line, after ``--trainer.`` where they begin with a name.
        what: for the table.
        seen: whether it did, by the command's object, in the folder in which it ran.
    """

    option: str
    words: list[str]
    what: str
    seen: Callable[[Any], bool]


@dataclass(frozen=True)
class Refused:
    """An option that is refused in one line, which contains ``says``."""

    option: str
    words: list[str]
    what: str
    says: str


def steps(count: int) -> Callable[[Any], bool]:
    """So many steps were taken."""
    return lambda cli: cli.trainer.global_step == count


def validations(*at: int) -> Callable[[Any], bool]:
    """Validation losses stand at these steps, counted from 0."""
    return lambda cli: tuple(step for step, _ in scalars(RUN)["val/loss"]) == at


def effective(precision: str) -> Callable[[Any], bool]:
    """metrics.json says what took effect."""
    return lambda cli: json.loads((RUN / "metrics.json").read_text())["precision"] == precision


def tested(images: int) -> Callable[[Any], bool]:
    """So many test images were scored."""
    return lambda cli: len(list(csv.reader((RUN / "test_scores.csv").open()))) == images + 1


def kept(*names: str) -> Callable[[Any], bool]:
    """These checkpoints lie in the run."""
    return lambda cli: {path.name for path in (RUN / "checkpoints").iterdir()} == set(names)


def changes_weights(cli: Any) -> bool:
    """The weights are not those of a fit without the option, which `reference` has left beside the run."""
    one, other = (state(each)["state_dict"] for each in (RUN, Path("reference")))
    return any(not one[name].equal(other[name]) for name in one if name.endswith("weight"))


def same_weights(cli: Any) -> bool:
    """The opposite."""
    return not changes_weights(cli)


def callback(name: str, **options: Any) -> list[str]:
    """Words that append one of Lightning's callbacks."""
    spec = {"class_path": f"lightning.pytorch.callbacks.{name}", "init_args": options}
    return ["callbacks+", json.dumps(spec)]


def logger(name: str, key: str = "logger+") -> list[str]:
    """Words that append one of Lightning's loggers, or with another key replace ours."""
    return [key, f"lightning.pytorch.loggers.{name}", "logger.save_dir", "logs"]


def exists(pattern: str) -> Callable[[Any], bool]:
    """A file is there."""
    return lambda cli: any(Path().glob(pattern))


def all_of(*conditions: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """All are the case."""
    return lambda cli: all(condition(cli) for condition in conditions)


OPTIONS: list[Works | Refused] = [
    Works("max_epochs", ["max_epochs", "1"], "", steps(37)),
    Works(
        "max_steps",
        ["max_epochs", "-1", "max_steps", "50"],
        "what is trained after the last validation is not tested, see `val_check_interval` in best.yaml",
        all_of(steps(50), validations(36)),
    ),
    Refused(
        "max_steps within the first epoch", ["max_steps", "20"], "there is nothing to test", "no validation has come"
    ),
    Works("min_epochs, min_steps", ["min_epochs", "2", "min_steps", "60"], "", steps(STEPS)),
    Works(
        "max_time",
        ["max_epochs", "-1", "max_time", "00:00:00:01"],
        "ends after a validation",
        exists("**/metrics.json"),
    ),
    Works("limit_train_batches", ["limit_train_batches", "10"], "", steps(20)),
    Works("limit_val_batches", ["limit_val_batches", "1"], "scores are fitted on what is left", validations(36, 73)),
    Refused("limit_val_batches 0", ["limit_val_batches", "0"], "scores would not be fitted", "no score would"),
    Works("limit_test_batches", ["limit_test_batches", "1"], "", tested(360)),
    Works("overfit_batches", ["overfit_batches", "2"], "the same batches in every epoch", steps(4)),
    Works("fast_dev_run", ["fast_dev_run", "3"], "nothing is kept", all_of(steps(3), lambda cli: not RUN.exists())),
    Works("val_check_interval", ["val_check_interval", "0.5"], "", validations(17, 35, 54, 72)),
    Refused(
        "check_val_every_n_epoch, where some of the end is not validated",
        ["max_epochs", "3", "check_val_every_n_epoch", "2"],
        "what the last epochs train would not be kept",
        "neither validated nor kept",
    ),
    Works("check_val_every_n_epoch", ["check_val_every_n_epoch", "2"], "", validations(73)),
    Works("num_sanity_val_steps", ["num_sanity_val_steps", "0"], "", same_weights),
    Works("gradient_clip_val, gradient_clip_algorithm", ["gradient_clip_val", "0.001"], "", changes_weights),
    Works("accumulate_grad_batches", ["accumulate_grad_batches", "2"], "", steps(38)),
    Works("log_every_n_steps", ["log_every_n_steps", "1"], "", lambda cli: len(scalars(RUN)["train/loss"]) == STEPS),
    Works("precision 64-true", ["precision", "64-true"], "scores in float32", effective("64-true")),
    Works("precision bf16-mixed", ["precision", "bf16-mixed"], "scores in float32", effective("bf16-mixed")),
    Works(
        "precision 16-mixed",
        ["precision", "16-mixed"],
        "bf16-mixed on a CPU, and metrics.json says so",
        effective("bf16-mixed"),
    ),
    Works("precision bf16-true", ["precision", "bf16-true"], "scores in float32", effective("bf16-true")),
    Works("precision 16-true", ["precision", "16-true"], "scores in float32", effective("16-true")),
    Refused(
        "precision transformer-engine", ["precision", "transformer-engine"], "without its library", "transformer_engine"
    ),
    Works("deterministic, benchmark", ["deterministic", "true", "benchmark", "false"], "", same_weights),
    Works("detect_anomaly", ["detect_anomaly", "true"], "", same_weights),
    Works("profiler", ["profiler", "simple"], "one step a call, as for whatever looks at steps", same_weights),
    Refused("barebones", ["barebones", "true"], "a run leaves more than it allows", "barebones"),
    Works(
        "enable_progress_bar, enable_model_summary",
        ["enable_progress_bar", "false", "enable_model_summary", "true"],
        "",
        same_weights,
    ),
    Works("inference_mode", ["inference_mode", "false"], "", same_weights),
    Works("reload_dataloaders_every_n_epochs", ["reload_dataloaders_every_n_epochs", "1"], "", same_weights),
    Works(
        "logger: another one",
        logger("CSVLogger", key="logger"),
        "its own files, checkpoints in a folder of their own; no metrics.json, test_scores.csv or report",
        all_of(exists("logs/**/metrics.csv"), exists("**/last.ckpt"), lambda cli: not RUN.exists()),
    ),
    Works("logger false", ["logger", "false"], "checkpoints alone", exists("checkpoints/version_0/last.ckpt")),
    Works(
        "several loggers",
        [*logger("CSVLogger"), *logger("TensorBoardLogger")],
        "every point goes to all; pictures to the first of TensorBoard",
        all_of(exists("logs/**/metrics.csv"), exists("logs/**/events*")),
    ),
    Works(
        "EarlyStopping",
        callback("EarlyStopping", monitor="val/loss", patience=1, min_delta=10.0),
        "",
        kept("best-epoch=00.ckpt", "last.ckpt"),
    ),
    Refused(
        "EarlyStopping on what knows anomalies",
        callback("EarlyStopping", monitor="val/auroc/kmeans"),
        "anomalies choose nothing",
        "val/auroc/kmeans",
    ),
    Works(
        "StochasticWeightAveraging", callback("StochasticWeightAveraging", swa_lrs=0.01, device=None), "", steps(STEPS)
    ),
    Refused(
        "WeightAveraging, EMAWeightAveraging",
        callback("EMAWeightAveraging"),
        "fitted scores would be averaged",
        "fitted scores",
    ),
    Refused("BackboneFinetuning", callback("BackboneFinetuning"), "there is no such attribute", "backbone"),
    Refused("LearningRateFinder", callback("LearningRateFinder"), "`sweep` looks for a rate", "sweep"),
    Refused("BatchSizeFinder", callback("BatchSizeFinder"), "it would search before the test, too", "data.batch_size"),
    Works(
        "GradientAccumulationScheduler",
        callback("GradientAccumulationScheduler", scheduling={0: 1, 1: 2}),
        "",
        steps(37 + 19),
    ),
    Works("LearningRateMonitor", callback("LearningRateMonitor"), "", lambda cli: "lr-Adam" in scalars(RUN)),
    Works(
        "Timer",
        [*callback("Timer", duration="00:00:00:01", interval="step"), "max_epochs", "-1"],
        "",
        exists("**/metrics.json"),
    ),
    Works("RichProgressBar, TQDMProgressBar", callback("RichProgressBar"), "in the place of ours", same_weights),
    Works(
        "several ModelCheckpoints",
        callback("ModelCheckpoint", filename="step-{step}", every_n_train_steps=30, save_top_k=-1),
        "the one with a monitor is tested",
        kept("best-epoch=00.ckpt", "last.ckpt", "step-step=30.ckpt", "step-step=60.ckpt"),
    ),
    Works(
        "enable_checkpointing false",
        ["enable_checkpointing", "false", "callbacks", "[aeanomaly.callbacks.fit_scores.FitScores]"],
        "with a list of callbacks that keeps none; the weights at the end are tested",
        all_of(tested(360), lambda cli: not (RUN / "checkpoints").exists()),
    ),
    Refused(
        "enable_checkpointing false beside a ModelCheckpoint",
        ["enable_checkpointing", "false"],
        "a contradiction",
        "ModelCheckpoint",
    ),
    Refused("strategy, accelerator or devices that are not there", ["accelerator", "gpu"], "", "gpu"),
    Refused("num_nodes 0", ["num_nodes", "0"], "", "num_nodes"),
]


def rows() -> list[str]:
    """The lines of the table in docs/reliability.md."""
    lines = ["| option | what becomes of it |", "|---|---|"]
    for each in OPTIONS:
        first = "works" if isinstance(each, Works) else "refused"
        lines.append(f"| {each.option} | {first}{': ' * bool(each.what)}{each.what} |")
    return lines
