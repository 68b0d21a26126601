"""What becomes of Lightning's loggers and callbacks in a fit here, as docs/reliability.md has it.

Each line is run by test_trainer_options.py: a fit on the digits of two epochs of 37 steps, or a shorter one.
"""

from __future__ import annotations

import json
from typing import Any

from tests.commands.fit.option_checks import (
    RUN,
    Option,
    Refused,
    Works,
    all_of,
    averaged,
    ends_by_itself_with_a_validation,
    exists,
    has_callback,
    kept,
    rows_in,
    same_weights,
    scalars,
    steps,
    without,
)

WATCH = {"class_path": "tests.commands.fit.watching.Watch"}


def callback(name: str, **options: Any) -> list[str]:
    """Words that append one of Lightning's callbacks."""
    return ["callbacks+", json.dumps(lightnings(name, **options))]


def lightnings(name: str, **options: Any) -> dict[str, Any]:
    """The specification of one of Lightning's callbacks."""
    return {"class_path": f"lightning.pytorch.callbacks.{name}", "init_args": options}


def logger(name: str, key: str = "logger+") -> list[str]:
    """Words that append one of Lightning's loggers, or with another key replace ours."""
    return [key, f"lightning.pytorch.loggers.{name}", "logger.save_dir", "logs"]


FIT_SCORES = {"class_path": "aeanomaly.callbacks.fit_scores.FitScores", "init_args": {"when": "end"}}
AVERAGING = lightnings("StochasticWeightAveraging", swa_lrs=0.01, swa_epoch_start=2, device=None)
EARLY = callback("EarlyStopping", monitor="val/loss", patience=1, min_delta=10.0)  # after the second epoch

LOGGERS: list[Option] = [
    Works(
        "logger: another one",
        logger("CSVLogger", key="logger"),
        "its own files, checkpoints in a folder of their own; no metrics.json, test_scores.csv or report",
        all_of(
            exists("logs/**/metrics.csv"),
            without(exists("logs/**/hparams.yaml")),
            exists("**/last.ckpt"),
            lambda cli: not RUN.exists(),
        ),
    ),
    Works("logger false", ["logger", "false"], "checkpoints alone", exists("checkpoints/version_0/last.ckpt")),
    Works(
        "several loggers",
        [*logger("CSVLogger"), *logger("TensorBoardLogger")],
        "every point goes to all; pictures to the first of TensorBoard",
        all_of(exists("logs/**/metrics.csv"), exists("logs/**/events*")),
    ),
]

CALLBACKS: list[Option] = [
    Works(
        "callbacks: EarlyStopping", [*EARLY, "max_epochs", "3"], "", all_of(steps(74), has_callback("EarlyStopping"))
    ),
    Refused(
        "callbacks: EarlyStopping on what knows anomalies",
        callback("EarlyStopping", monitor="val/auroc/kmeans"),
        "anomalies choose nothing",
        "val/auroc/kmeans",
        "monitor",
    ),
    Works(
        "callbacks: StochasticWeightAveraging",
        ["enable_checkpointing", "false", "callbacks", json.dumps([FIT_SCORES, WATCH, AVERAGING]), "max_epochs", "3"],
        "when training is over, so that no checkpoint has the average: it is tested where none is kept, with "
        "`when: end` of FitScores",
        all_of(steps(3 * 37), averaged),
    ),
    Works(
        "callbacks: StochasticWeightAveraging beside a ModelCheckpoint",
        ["callbacks+", json.dumps(AVERAGING), "max_epochs", "3"],
        "after the last checkpoint, so that the average is not what is tested",
        all_of(steps(3 * 37), exists("**/last.ckpt"), without(averaged)),
    ),
    Refused(
        "callbacks: WeightAveraging, EMAWeightAveraging",
        callback("EMAWeightAveraging"),
        "fitted scores would be averaged",
        "fitted scores",
        "EMAWeightAveraging",
    ),
    Refused(
        "callbacks: BackboneFinetuning",
        callback("BackboneFinetuning"),
        "there is no such attribute",
        "`backbone`",
        "BackboneFinetuning",
    ),
    Refused(
        "callbacks: LearningRateFinder",
        callback("LearningRateFinder"),
        "`sweep` looks for a rate",
        "sweep",
        "LearningRateFinder",
    ),
    Refused(
        "callbacks: BatchSizeFinder",
        callback("BatchSizeFinder"),
        "it would search before the test, too",
        "data.batch_size",
        "BatchSizeFinder",
    ),
    Works(
        "callbacks: GradientAccumulationScheduler",
        callback("GradientAccumulationScheduler", scheduling={0: 1, 1: 2}),
        "",
        steps(37 + 19),
    ),
    Works("callbacks: LearningRateMonitor", callback("LearningRateMonitor"), "", lambda cli: "lr-Adam" in scalars(RUN)),
    Works(
        "callbacks: Timer",
        [*callback("Timer", duration="00:00:00:01", interval="step"), "max_epochs", "-1"],
        "",
        all_of(ends_by_itself_with_a_validation, exists("**/metrics.json")),
    ),
    *(
        Works(
            "callbacks: RichProgressBar, TQDMProgressBar",
            callback(name),
            "in the place of ours",
            all_of(same_weights, has_callback(name), without(has_callback("Progress"))),
        )
        for name in ("RichProgressBar", "TQDMProgressBar")
    ),
    Works(
        "callbacks: several ModelCheckpoints",
        callback("ModelCheckpoint", filename="step-{step}", every_n_train_steps=30, save_top_k=-1),
        "the one with a monitor is tested",
        kept("best-epoch=00.ckpt", "last.ckpt", "step-step=30.ckpt", "step-step=60.ckpt"),
    ),
    Works(
        "enable_checkpointing false",
        ["enable_checkpointing", "false", "callbacks", "[aeanomaly.callbacks.fit_scores.FitScores]"],
        "with a list of callbacks that keeps none; the weights at the end are tested",
        all_of(rows_in("test_scores.csv", 360), lambda cli: not (RUN / "checkpoints").exists()),
    ),
    Refused(
        "enable_checkpointing false beside a ModelCheckpoint",
        ["enable_checkpointing", "false"],
        "a contradiction",
        "ModelCheckpoint",
        "enable_checkpointing",
    ),
]
