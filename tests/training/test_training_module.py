"""Several optimiser steps per call of the loop change nothing but the speed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import (
    EarlyStopping,
    GradientAccumulationScheduler,
    LambdaCallback,
    LearningRateMonitor,
    ModelCheckpoint,
    Timer,
)
from lightning.pytorch.cli import ReduceLROnPlateau
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from aeanomaly.callbacks.interrupt import Interrupt
from aeanomaly.callbacks.progress import Progress
from aeanomaly.commands.main import main
from aeanomaly.data.sources.digits import Digits
from aeanomaly.errors import UserError
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.outputs import Batch, Output
from aeanomaly.training.module import LitAutoencoder
from aeanomaly.training.single_steps import STEPS_ON_CPU


class NoisyAutoencoder(DenseAutoencoder):
    """Draws random numbers in every step, as a denoising net does."""

    def training_loss(self, x: Tensor) -> tuple[dict[str, Tensor], Output]:
        return super().training_loss((x + 0.1 * torch.randn_like(x)).clamp(0, 1))


class CountSteps(L.Callback):
    """Counts the hooks of single steps."""

    def __init__(self) -> None:
        self.steps = 0

    def on_before_optimizer_step(self, *_: Any) -> None:
        self.steps += 1


def state(run: Path, name: str = "last.ckpt") -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(run / "checkpoints" / name, weights_only=True)
    return checkpoint


def same(one: Any, other: Any) -> bool:
    """Whether two nested states are equal, bit for bit."""
    if isinstance(one, Tensor):
        return torch.equal(one.nan_to_num(), other.nan_to_num())
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(run))
    events.Reload()
    return {tag: [(point.step, point.value) for point in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


SCHEDULE = {"class_path": "torch.optim.lr_scheduler.ExponentialLR", "init_args": {"gamma": 0.99}}
VARIANTS = {
    "plain": [],
    "noise": [
        "--model.net",
        f"{__name__}.NoisyAutoencoder",
        "--model.net.image_shape",
        "[1,8,8]",
    ],
    "schedule by steps": ["--model.lr_scheduler", json.dumps(SCHEDULE), "--model.lr_interval", "step"],
    "schedule by epochs": ["--model.lr_scheduler", json.dumps(SCHEDULE)],
    "bfloat16": ["--trainer.precision", "bf16-mixed"],
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_steps_and_logged_points_do_not_depend_on_the_size_of_a_call(
    variant: str, fit: Callable[..., Path]
) -> None:
    runs = [fit(*VARIANTS[variant], "--model.steps_per_call", str(size)) for size in (1, 7)]
    one, several = map(state, runs)
    assert one["global_step"] == several["global_step"] == 74
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert same(one[part], several[part]) if part == "state_dict" else str(one[part]) == str(several[part]), part
    points = [scalars(run) for run in runs]
    assert points[0].keys() == points[1].keys()
    assert [step for step, _ in points[0]["train/loss"]] == list(range(4, 74, 5))
    for tag in points[0]:
        assert points[0][tag] == points[1][tag], tag


def test_a_run_resumes_in_the_middle_of_an_epoch_with_calls_of_another_size(tmp_path: Path) -> None:
    for saved_with, resumed_with in ((1, 7), (5, 7), (7, 1)):
        stop = StopAfterCall(call=51 // saved_with if saved_with > 1 else 51, path=tmp_path / "mid.ckpt")
        first = make_trainer([stop], max_epochs=2)
        L.seed_everything(9)
        first.fit(make_module(saved_with), make_data())
        L.seed_everything(9)
        resumed, uninterrupted = make_module(resumed_with), make_module(1)
        trainer = make_trainer([], max_epochs=2)
        trainer.fit(resumed, make_data(), ckpt_path=tmp_path / "mid.ckpt")
        assert trainer.global_step == 74
        L.seed_everything(9)
        alone = make_trainer([], max_epochs=2)
        alone.fit(uninterrupted, make_data())
        assert same(resumed.net.state_dict(), uninterrupted.net.state_dict()), (saved_with, resumed_with)


@pytest.mark.parametrize(("saved_with", "resumed_with"), [("7", "1"), ("1", "7")])
def test_a_resumed_run_logs_at_the_steps_of_an_uninterrupted_one(
    saved_with: str, resumed_with: str, fit: Callable[..., Path]
) -> None:
    first = fit("--model.steps_per_call", saved_with)
    last = first / "checkpoints" / "last.ckpt"
    words = ["fit", "--ckpt_path", str(last), "--trainer.max_epochs", "3", "--model.steps_per_call", resumed_with]
    assert main(words) == 0
    expected, found = (scalars(run) for run in (fit("--trainer.max_epochs", "3"), first.parent / "version_1"))
    for tag in ("val/loss", "val/auroc/reconstruction", "train/loss"):
        # From 79 on: the first mean of the training loss is over steps that the resumed run has not seen.
        assert [point for point in found[tag] if point[0] >= 79] == [point for point in expected[tag] if point[0] >= 79]


class StopAfterCall(L.Callback):
    """Writes a checkpoint after a number of calls, and stops."""

    one_hook_per_call = True

    def __init__(self, call: int, path: Path) -> None:
        self.call, self.path, self.calls = call, path, 0

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.calls += 1
        if self.calls == self.call:
            trainer.save_checkpoint(self.path)
            trainer.should_stop = True
            trainer.limit_train_batches = 0


def make_module(steps: int | Literal["auto"] = "auto") -> LitAutoencoder:
    torch.manual_seed(3)
    net = DenseAutoencoder((1, 8, 8), hidden=(24,), code_size=3)
    return LitAutoencoder(net, steps_per_call=steps)


def make_data() -> Digits:
    return Digits(anomaly_classes=[0], batch_size=32, split_seed=9)


def make_trainer(callbacks: list[L.Callback], **options: Any) -> L.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    quiet |= {"enable_checkpointing": False, "accelerator": "cpu", "devices": 1}
    return L.Trainer(callbacks=callbacks, **(quiet | options))  # type: ignore[arg-type]


def chunk_size(callbacks: list[L.Callback], module: LitAutoencoder | None = None, **options: Any) -> int:
    """Batches in a call, decided as at the start of a fit."""
    trainer, module, data = make_trainer(callbacks, **options), module or make_module(), make_data()
    trainer.datamodule, data.trainer, module.trainer = data, trainer, trainer  # type: ignore[attr-defined]
    data.setup()
    module.setup("fit")
    assert module.automatic_optimization is (module.chunk_size == 1)
    assert data.chunk_size == module.chunk_size
    return module.chunk_size


@pytest.mark.parametrize(
    "callback",
    [EarlyStopping("val/loss"), LearningRateMonitor("epoch"), ModelCheckpoint(every_n_epochs=2), Interrupt()],
    ids=lambda callback: type(callback).__name__,
)
def test_callbacks_that_do_not_watch_steps_leave_calls_long(callback: L.Callback) -> None:
    enabled = {"enable_checkpointing": isinstance(callback, ModelCheckpoint)}
    assert chunk_size([callback], **enabled) == STEPS_ON_CPU
    assert chunk_size([Progress()], enable_progress_bar=True) == STEPS_ON_CPU


@pytest.mark.parametrize(
    "options",
    [
        {"accumulate_grad_batches": 2},
        {"gradient_clip_val": 0.5},
        {"limit_train_batches": 0.5},
        {"limit_train_batches": 3},
        {"limit_train_batches": 1},
        {"val_check_interval": 0.5},
        {"val_check_interval": 1},
        {"min_steps": 30},
        {"overfit_batches": 2},
        {"fast_dev_run": True},
        {"precision": "64-true"},
        {"profiler": "simple"},
        {"strategy": "ddp", "devices": 2},
    ],
    ids=str,
)
def test_options_about_single_steps_make_every_step_a_call(options: dict[str, Any]) -> None:
    assert chunk_size([], **options) == 1


@pytest.mark.parametrize(
    "callback",
    [
        CountSteps(),
        LambdaCallback(on_train_batch_end=print),
        LearningRateMonitor("step"),
        ModelCheckpoint(every_n_train_steps=5),
        GradientAccumulationScheduler({1: 2}),
    ],
    ids=lambda callback: type(callback).__name__,
)
def test_callbacks_that_watch_steps_make_every_step_a_call(callback: L.Callback) -> None:
    assert chunk_size([callback], enable_checkpointing=True) == 1


def test_a_callback_sees_every_step() -> None:
    counter = CountSteps()
    trainer = make_trainer([counter], max_epochs=1)
    trainer.fit(make_module(), make_data())
    assert counter.steps == trainer.global_step == 37


class ClippingAutoencoder(LitAutoencoder):
    """Does something of its own in every step."""

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        torch.nn.utils.clip_grad_norm_(self.parameters(), 1.0)


def test_a_module_with_a_hook_for_steps_makes_every_step_a_call() -> None:
    net = DenseAutoencoder((1, 8, 8), hidden=(24,), code_size=3)
    for kind, expected in ((LitAutoencoder, STEPS_ON_CPU), (ClippingAutoencoder, 1)):
        assert chunk_size([], kind(net)) == expected


class TimesTen(Digits):
    """Changes every batch on its way to the device."""

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        return batch._replace(image=batch.image * 0.1)


def test_a_data_module_with_a_hook_for_batches_makes_every_step_a_call() -> None:
    trainer = make_trainer([], max_epochs=1)
    trainer.fit(make_module(), TimesTen(anomaly_classes=[0], batch_size=32))
    assert trainer.global_step == 37
    assert trainer.train_dataloader.chunk_size == 1  # type: ignore[union-attr]


def test_an_optimizer_that_needs_a_closure_gets_one() -> None:
    module = make_module()
    module.optimizer = lambda parameters: torch.optim.LBFGS(parameters, max_iter=2)
    trainer = make_trainer([], max_epochs=1)
    trainer.fit(module, make_data())
    assert trainer.global_step == 37


class AccumulateLater(L.Callback):
    """Changes what a step is, in a way that nobody can foresee."""

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.accumulate_grad_batches = 2


def test_no_batch_is_dropped_in_silence() -> None:
    with pytest.raises(UserError, match=r"set model\.steps_per_call to 1"):
        make_trainer([AccumulateLater()], max_epochs=1).fit(make_module(4), make_data())
    trainer = make_trainer([AccumulateLater()], max_epochs=1)
    trainer.fit(make_module(1), make_data())
    assert trainer.global_step == 19


def test_accumulated_batches_log_once_for_a_step(fit: Callable[..., Path]) -> None:
    run = fit("--trainer.accumulate_grad_batches", "2")
    steps = [step for step, _ in scalars(run)["train/loss"]]
    assert steps == sorted(set(steps)) != []


def test_speed_options_are_no_contradiction_of_a_checkpoint(fit: Callable[..., Path], tmp_path: Path) -> None:
    last = fit() / "checkpoints" / "last.ckpt"
    words = ["test", "--ckpt_path", str(last), "--trainer.default_root_dir", str(tmp_path)]
    assert main([*words, "--model.steps_per_call", "3", "--model.cuda_graph", "true"]) == 0


class Elapsing(Timer):
    """A clock by which every step takes a second."""

    def time_elapsed(self, stage: str = "train") -> float:
        return float(self.module.global_step)

    def on_fit_start(self, trainer: L.Trainer, *_: Any) -> None:
        self.module = trainer.lightning_module


class SaveAt(L.Callback):
    """Writes a checkpoint when a call ends with this step."""

    one_hook_per_call = True

    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize("step", [5, 36, 37, 45], ids=str)
@pytest.mark.parametrize("end", ["max_steps", "max_time"])
@pytest.mark.parametrize(("size", "resumed_with"), [(7, 1), (50, 50), (1, 7)])
def test_a_fit_ends_within_a_call_and_resumes_exactly(
    step: int, end: str, size: int, resumed_with: int, tmp_path: Path
) -> None:
    callbacks: list[L.Callback] = [SaveAt(step, tmp_path / "mid.ckpt")]
    callbacks += [Elapsing({"seconds": step})] if end == "max_time" else []
    limit = step if end == "max_steps" else -1
    stopped, module = make_trainer(callbacks, max_epochs=3, max_steps=limit), make_module(size)
    L.seed_everything(9)
    stopped.fit(module, make_data())
    assert (module.chunk_size, stopped.global_step) == (size, step)

    resumed, uninterrupted = make_module(resumed_with), make_module(1)
    for each, checkpoint in ((resumed, tmp_path / "mid.ckpt"), (uninterrupted, None)):
        L.seed_everything(9)
        trainer = make_trainer([], max_epochs=2)
        trainer.fit(each, make_data(), ckpt_path=checkpoint, weights_only=True)
        assert trainer.global_step == 2 * 37
    assert same(resumed.net.state_dict(), uninterrupted.net.state_dict())


@pytest.mark.parametrize("size", [1, 7])
def test_overfit_batches_are_the_same_few_in_every_epoch(size: int) -> None:
    trainer, module = make_trainer([], overfit_batches=2, max_epochs=3), make_module(size)
    trainer.fit(module, make_data())
    assert trainer.global_step == 6
    loader: Any = trainer.train_dataloader
    assert [batch.position.tolist() for batch in loader][:2] == [list(range(32)), list(range(32, 64))]


@pytest.mark.parametrize(
    ("options", "steps"), [({"max_epochs": 0}, 0), ({"limit_val_batches": 0}, 37), ({"max_steps": 7}, 7)]
)
def test_short_fits_and_fits_without_validation(options: dict[str, Any], steps: int) -> None:
    trainer = make_trainer([], **({"max_epochs": 1} | options))
    trainer.fit(make_module(), make_data())
    assert trainer.global_step == steps


class TwoTerms(DenseAutoencoder):
    """Keeps its codes small, too."""

    def training_loss(self, x: Tensor) -> tuple[dict[str, Tensor], Output]:
        terms, output = super().training_loss(x)
        return {**terms, "size": 0.1 * output.code.square().mean()}, output


@pytest.mark.parametrize("size", [1, 7])
def test_each_term_of_a_loss_is_logged_and_their_sum_is_trained_on(size: int, fit: Callable[..., Path]) -> None:
    net = ["--model.net", f"{__name__}.TwoTerms", "--model.net.image_shape", "[1,8,8]"]
    points = scalars(fit(*net, "--model.steps_per_call", str(size)))
    loss, *terms = ([value for _, value in points[f"train/{name}"]] for name in ("loss", "reconstruction", "size"))
    assert loss == pytest.approx([sum(parts) for parts in zip(*terms, strict=True)], rel=1e-6)
    assert min(terms[1]) > 0
    assert [step for step, _ in points["train/size"]] == list(range(4, 74, 5))


def test_frozen_parameters_are_not_given_to_the_optimiser() -> None:
    module = make_module()
    next(module.net.parameters()).requires_grad_(False)
    trainer = make_trainer([], max_epochs=1)
    trainer.fit(module, make_data())
    (group,) = trainer.optimizers[0].param_groups
    assert len(group["params"]) == len(list(module.net.parameters())) - 1


def test_a_plain_loader_of_batches_trains_with_one_step_per_call() -> None:
    data = make_data()
    data.setup()
    module, trainer = make_module(), make_trainer([], max_epochs=1)
    trainer.fit(module, data.train_dataloader(), data.val_dataloader())
    assert (module.chunk_size, trainer.global_step) == (1, 37)


def test_a_schedule_that_follows_a_metric_moves_once_an_epoch() -> None:
    found = []
    for size in (1, 7):
        module = make_module(size)
        module.lr_scheduler = lambda optimizer: ReduceLROnPlateau(optimizer, "val/loss", patience=0, threshold=10.0)
        trainer = make_trainer([], max_epochs=4)
        trainer.fit(module, make_data())
        found.append(trainer.optimizers[0].param_groups[0]["lr"])
    assert found[0] == found[1] == pytest.approx(1e-7)
