"""What becomes of the options of Lightning's Trainer that say how long it trains and how many images it sees.

Each line is run by test_trainer_options.py: a fit on the digits of two epochs of 37 steps, or a shorter one.
"""

from __future__ import annotations

from tests.commands.fit.callback_options import EARLY
from tests.commands.fit.option_checks import (
    RUN,
    Option,
    Refused,
    Works,
    all_of,
    ends_by_itself_with_a_validation,
    exists,
    rows_in,
    same_weights,
    scalars,
    steps,
    validations,
    watched,
)

PICKED = ["--ckpt_path", "reference/checkpoints/last.ckpt", "--data.eval_batch_size", "100"]

HOW_LONG: list[Option] = [
    Works("max_epochs", ["max_epochs", "1"], "", steps(37)),
    Works(
        "max_steps",
        ["max_epochs", "-1", "max_steps", "50"],
        "what is trained after the last validation is not tested, see `val_check_interval` in best.yaml",
        all_of(steps(50), validations(36)),
    ),
    Refused(
        "max_steps within the first epoch",
        ["max_steps", "20"],
        "there is nothing to test; the weights stay in last.ckpt",
        "no validation has come",
        "max_steps",
    ),
    Works("min_epochs, min_steps", [*EARLY, "max_epochs", "4", "min_epochs", "3"], "", steps(111)),
    Works("min_epochs, min_steps", [*EARLY, "max_epochs", "4", "min_steps", "100"], "", steps(100)),
    Works(
        "max_time",
        ["max_epochs", "-1", "max_time", "00:00:00:01"],
        "ends after a validation",
        all_of(ends_by_itself_with_a_validation, exists("**/metrics.json")),
    ),
    Works("limit_train_batches", ["limit_train_batches", "10"], "", steps(20)),
    Works(
        "limit_val_batches",
        ["limit_val_batches", "1"],
        "scores are fitted on what is left",
        # Normal images come first: there are none to tell from them.
        lambda cli: (
            "val/auroc/kmeans" not in scalars(RUN) and "threshold/kmeans@alarm5" in (RUN / "metrics.json").read_text()
        ),
    ),
    Refused(
        "limit_val_batches 0", ["limit_val_batches", "0"], "scores would not be fitted", "no score would", "limit_val"
    ),
    Refused(
        "limit_val_batches below 1",
        ["limit_val_batches", "0.9"],
        "it is of all batches, so that anomalous images would decide how many normal ones fit scores",
        "the number of anomalous images would decide",
        "trainer.limit_val_batches 0.9",
    ),
    Refused(
        "overfit_batches below 1",
        ["overfit_batches", "0.5"],
        "it limits validations too",
        "the number of anomalous images would decide",
        "trainer.overfit_batches 0.5",
    ),
    Works(
        "limit_test_batches",
        ["limit_test_batches", "1", "--data.eval_batch_size", "100"],
        "",
        rows_in("test_scores.csv", 100),
    ),
    Works(
        "limit_predict_batches",
        ["limit_predict_batches", "1", *PICKED],
        "",
        rows_in("predictions.csv", 100),
        verb="predict",
    ),
    Works(
        "overfit_batches",
        ["overfit_batches", "2"],
        "the same batches in every epoch",
        watched(lambda watch: len(watch.images[0]) == 64 and watch.images[0] == watch.images[1]),
    ),
    Works("fast_dev_run", ["fast_dev_run", "3"], "nothing is kept", all_of(steps(3), lambda cli: not RUN.exists())),
    Works("val_check_interval", ["val_check_interval", "0.5"], "", validations(17, 35, 54, 72)),
    Refused(
        "check_val_every_n_epoch, where some of the end is not validated",
        ["max_epochs", "3", "check_val_every_n_epoch", "2"],
        "what the last epochs train would not be kept",
        "neither validated nor kept",
        "check_val_every_n_epoch",
    ),
    Works("check_val_every_n_epoch", ["check_val_every_n_epoch", "2"], "", validations(73)),
    Works(
        "num_sanity_val_steps",
        ["num_sanity_val_steps", "0"],
        "",
        all_of(same_weights, watched(lambda watch: watch.sanity_batches == 0)),
    ),
]
