"""Optimisers, schedules, terms of the loss, short fits."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import LambdaCallback, StochasticWeightAveraging
from lightning.pytorch.cli import ReduceLROnPlateau
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor

from aeanomaly.commands.main import main
from aeanomaly.errors import UserError
from aeanomaly.evaluation.thresholds import FalseAlarmRate
from aeanomaly.models.convolutional import ConvolutionalAutoencoder
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.outputs import Output
from aeanomaly.scores.kmeans import KMeans
from aeanomaly.training.module import LitAutoencoder
from tests.training.parts import make_data, make_module, make_trainer, scalars


def test_an_optimizer_that_needs_a_closure_gets_one() -> None:
    module = make_module()
    module.optimizer = lambda parameters: torch.optim.LBFGS(parameters, max_iter=2)
    trainer = make_trainer([], max_epochs=1)
    trainer.fit(module, make_data())
    assert trainer.global_step == 37


def test_accumulated_batches_log_once_for_a_step(fit: Callable[..., Path]) -> None:
    run = fit("--trainer.accumulate_grad_batches", "2")
    steps = [step for step, _ in scalars(run)["train/loss"]]
    assert steps == sorted(set(steps)) != []


def test_speed_options_are_no_contradiction_of_a_checkpoint(fit: Callable[..., Path], tmp_path: Path) -> None:
    last = fit() / "checkpoints" / "last.ckpt"
    words = ["test", "--ckpt_path", str(last), "--trainer.default_root_dir", str(tmp_path)]
    assert main([*words, "--model.steps_per_call", "3", "--model.cuda_graph", "true"]) == 0


@pytest.mark.parametrize("size", [1, 7])
def test_overfit_batches_are_the_same_few_in_every_epoch(size: int) -> None:
    trainer, module = make_trainer([], overfit_batches=2, max_epochs=3), make_module(size)
    trainer.fit(module, make_data())
    assert trainer.global_step == 6
    loader: Any = trainer.train_dataloader
    assert [batch.index.tolist() for batch in loader][:2] == [list(range(32)), list(range(32, 64))]


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


class Recorded(LitAutoencoder):
    """Keeps the loss of each step as the net has it."""

    def __init__(self) -> None:
        super().__init__(TwoTerms((1, 8, 8), (24,), 4))
        self.running: list[float] = []

    def on_before_backward(self, loss: Tensor) -> None:
        self.running.append(loss.item())


def test_the_logged_losses_are_the_means_of_steps_and_of_normal_validation_images(tmp_path: Path) -> None:
    module, data = Recorded(), make_data()
    logger = CSVLogger(tmp_path)
    trainer = make_trainer([], max_epochs=1, logger=logger, log_every_n_steps=5)
    trainer.fit(module, data)
    with Path(logger.log_dir, "metrics.csv").open() as stream:
        logged = {int(row["step"]): float(row["train/loss"]) for row in csv.DictReader(stream) if row["train/loss"]}
    assert list(logged) == [4, 9, 14, 19, 24, 29, 34]
    for step, value in logged.items():
        assert value == pytest.approx(sum(module.running[step - 4 : step + 1]) / 5, rel=1e-5)
    net, normal = module.net.eval(), data.val_dataloader().dataset
    batch = normal[(~normal.is_anomaly).nonzero().flatten()]
    with torch.no_grad():
        expected = sum(term.item() for term in net.training_loss(batch.image)[0].values())
    assert trainer.callback_metrics["val/loss"].item() == pytest.approx(expected, rel=1e-5)


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


@pytest.mark.parametrize("size", [1, 7])
def test_a_schedule_that_follows_nothing_is_told(size: int) -> None:
    module = make_module(size)
    module.lr_scheduler = lambda optimizer: ReduceLROnPlateau(optimizer, "train/losss")
    with pytest.raises(UserError, match=r"there is no train/losss to follow; there are .*val/loss"):
        make_trainer([], max_epochs=2).fit(module, make_data())


def test_an_average_of_weights_moves_its_own_schedule_once_an_epoch(recwarn: pytest.WarningsRecorder) -> None:
    rates = []
    for schedule in (None, lambda optimizer: ReduceLROnPlateau(optimizer, "val/loss")):
        module = make_module(1)
        module.lr_scheduler = schedule
        average = StochasticWeightAveraging(0.05, swa_epoch_start=2, annealing_epochs=3)
        rate = LambdaCallback(
            on_train_epoch_start=lambda trainer, _: rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        )
        make_trainer([average, rate], max_epochs=5).fit(module, make_data())
    assert rates[:5] == rates[5:]
    assert not [warning for warning in recwarn if "frequency" in str(warning.message)]


def test_devices_send_no_bank_to_each_other_in_a_step() -> None:
    net = ConvolutionalAutoencoder((1, 8, 8), (4, 8), 3)
    module = LitAutoencoder(net, {"kmeans": KMeans(4)}, {"alarm": FalseAlarmRate(0.1)})
    sent: set[str] = set()
    watch = LambdaCallback(on_train_end=lambda trainer, _: sent.update(trainer.model.named_module_buffers))
    try:
        make_trainer([watch], max_epochs=1, limit_train_batches=2, strategy="ddp").fit(module, make_data())
        assert sent == {f"detector.net.{name}" for name, _ in net.named_buffers()} != set()
    finally:
        torch.distributed.destroy_process_group()
