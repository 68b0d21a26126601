"""What becomes of the options of Lightning's Trainer in a fit here: all rows of the table in docs/reliability.md.

Each line is run by test_trainer_options.py: a fit on the digits of two epochs of 37 steps, or a shorter one.
"""

from __future__ import annotations

from tests.commands.fit.callback_options import CALLBACKS, LOGGERS
from tests.commands.fit.length_options import HOW_LONG
from tests.commands.fit.option_checks import (
    RUN,
    STEPS,
    Option,
    Refused,
    Unused,
    Works,
    all_of,
    effective,
    exists,
    has_callback,
    same_weights,
    says,
    scalars,
    steps,
    watched,
    without,
)
from tests.commands.fit.watching import Watch

SHORT = ["max_epochs", "1", "limit_train_batches", "2"]
CONVOLUTIONAL = "aeanomaly.models.convolutional.ConvolutionalAutoencoder"
ON_SEVERAL = ["use_distributed_sampler", "false", "sync_batchnorm", "true"]
SPELLINGS = {"16": "bf16-mixed", "32": "32-true", "64": "64-true", "bf16": "bf16-mixed"}  # 16 on a CPU


def clipped(watch: Watch) -> bool:
    """The gradients were made as short, together, as they may be."""
    return 0.0009 < float(watch.gradients.norm()) < 0.0010001


def cut(watch: Watch) -> bool:
    """Each of the gradients was cut to as much as it may be, which leaves them longer together."""
    return 0.0009 < float(watch.gradients.abs().max()) < 0.0010001 and float(watch.gradients.norm()) > 0.002


STEP: list[Option] = [
    Works("gradient_clip_val, gradient_clip_algorithm", ["gradient_clip_val", "0.001"], "", watched(clipped)),
    Works(
        "gradient_clip_val, gradient_clip_algorithm",
        ["gradient_clip_val", "0.001", "gradient_clip_algorithm", "value"],
        "",
        watched(cut),
    ),
    Works("accumulate_grad_batches", ["accumulate_grad_batches", "2"], "", steps(38)),
    Works("log_every_n_steps", ["log_every_n_steps", "1"], "", lambda cli: len(scalars(RUN)["train/loss"]) == STEPS),
    Works("precision 64-true", ["precision", "64-true", *SHORT], "scores in float32", effective("64-true")),
    Works("precision bf16-mixed", ["precision", "bf16-mixed", *SHORT], "scores in float32", effective("bf16-mixed")),
    Works(
        "precision 16-mixed",
        ["precision", "16-mixed", *SHORT],
        "bf16-mixed on a CPU, and metrics.json says so",
        effective("bf16-mixed"),
    ),
    Works("precision bf16-true", ["precision", "bf16-true", *SHORT], "scores in float32", effective("bf16-true")),
    Works("precision 16-true", ["precision", "16-true", *SHORT], "scores in float32", effective("16-true")),
    *(
        Works(
            "precision 16, 32, 64, bf16",
            ["precision", "16-true", "precision", old, *SHORT],
            "16-mixed, 32-true, 64-true and bf16-mixed, as they were called",
            all_of(effective(new), steps(2)),
        )
        for old, new in SPELLINGS.items()
    ),
    *(
        Refused(
            "precision transformer-engine, transformer-engine-float16",
            ["precision", name],
            "without its library",
            "transformer_engine",
            "trainer.precision",
        )
        for name in ("transformer-engine", "transformer-engine-float16")
    ),
    Works(
        "deterministic, benchmark",
        ["deterministic", "true", "benchmark", "true"],
        "",
        all_of(same_weights, watched(lambda watch: watch.set_while_training == {"deterministic", "benchmark"})),
    ),
    Works(
        "detect_anomaly",
        ["detect_anomaly", "true"],
        "",
        all_of(same_weights, watched(lambda watch: watch.set_while_training == {"anomaly detection"})),
    ),
    Works(
        "inference_mode",
        ["inference_mode", "false"],
        "",
        all_of(same_weights, watched(lambda watch: watch.inference_mode == {False})),
    ),
    Works(
        "reload_dataloaders_every_n_epochs",
        ["reload_dataloaders_every_n_epochs", "1"],
        "",
        all_of(same_weights, watched(lambda watch: watch.loaders[0] is not watch.loaders[1])),
    ),
]

AROUND: list[Option] = [
    Works(
        "profiler simple, advanced, pytorch",
        ["profiler", "simple"],
        "one step a call, as for whatever looks at steps",
        all_of(same_weights, says("said", "FIT Profiler Report"), says("said", "run_training_batch")),
    ),
    Works(
        "profiler simple, advanced, pytorch",
        ["profiler", "advanced", *SHORT],
        "one step a call, as for whatever looks at steps",
        all_of(says("said", "FIT Profiler Report"), says("said", "cumtime")),
    ),
    Works(
        "profiler simple, advanced, pytorch",
        ["profiler", "pytorch", *SHORT],
        "one step a call, as for whatever looks at steps",
        all_of(says("said", "FIT Profiler Report"), exists(f"{RUN}/fit-*.pt.trace.json")),
    ),
    Refused("barebones", ["barebones", "true"], "a run leaves more than it allows", "barebones", "barebones"),
    Works(
        "enable_progress_bar, enable_model_summary",
        ["enable_progress_bar", "false", "enable_model_summary", "true"],
        "",
        all_of(same_weights, without(has_callback("Progress")), says("said", "Total params")),
    ),
    Works("default_root_dir", ["default_root_dir", "there", *SHORT], "", exists("there/**/version_0/metrics.json")),
    Works(
        "plugins",
        ["plugins", "[lightning.pytorch.plugins.AsyncCheckpointIO]", *SHORT],
        "checkpoints are then written by such a plugin, and not whole or absent",
        lambda cli: type(cli.trainer.strategy.checkpoint_io).__name__ == "AsyncCheckpointIO",
    ),
    Unused(
        "enable_autolog_hparams, model_registry, use_distributed_sampler, sync_batchnorm on one device",
        ["enable_autolog_hparams", "false", "model_registry", "somebody/net", *ON_SEVERAL],
        "hyperparameters stand in config.yaml and the row of HParams, nothing is uploaded, batches are divided among "
        "processes in any case (`tests/distributed`)",
    ),
]

DEVICES: list[Option] = [
    Refused(
        "sync_batchnorm with `ddp` on CPUs, for a net with batch norm",
        ["strategy", "ddp", "sync_batchnorm", "true", "--model.net", CONVOLUTIONAL],
        "torch has it for GPUs",
        "GPU",
        "trainer.sync_batchnorm",
    ),
    *(
        Refused("strategy, accelerator or devices that are not there", [name, value], "", value, f"trainer.{name}")
        for name, value in {"strategy": "nonsense", "accelerator": "gpu", "devices": "0"}.items()
    ),
    Refused("num_nodes 0", ["num_nodes", "0"], "", "num_nodes", "trainer.num_nodes"),
]

OPTIONS = [*HOW_LONG, *STEP, *AROUND, *LOGGERS, *CALLBACKS, *DEVICES]


def rows() -> list[str]:
    """The lines of the table in docs/reliability.md."""
    first = {Works: "works", Refused: "refused", Unused: "changes nothing"}
    lines = [f"| {each.option} | {first[type(each)]}{': ' * bool(each.what)}{each.what} |" for each in OPTIONS]
    return ["| option | what becomes of it |", "|---|---|", *dict.fromkeys(lines)]
