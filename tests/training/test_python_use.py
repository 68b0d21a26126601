"""A plain Trainer, a LitAutoencoder and a data module: metrics and a checkpoint that loads, without further parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aeanomaly.callbacks.fit_scores import FitScores
from aeanomaly.data.sources.digits import Digits
from aeanomaly.errors import UserError
from aeanomaly.evaluation.thresholds import FalseAlarmRate, Fixed
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.outputs import Output
from aeanomaly.scores.base import Score
from aeanomaly.scores.fusion import Fusion
from aeanomaly.scores.kmeans import KMeans
from aeanomaly.scores.reconstruction import ReconstructionError
from aeanomaly.training.description import describe
from aeanomaly.training.module import LitAutoencoder
from tests.training.parts import same


def make_trainer(**options: Any) -> L.Trainer:
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    quiet |= {"enable_checkpointing": False, "accelerator": "cpu", "devices": 1, "max_epochs": 2}
    return L.Trainer(**(quiet | options))


def make_module(**scores: Score) -> LitAutoencoder:
    torch.manual_seed(3)
    net = DenseAutoencoder((1, 8, 8), hidden=(24,), code_size=3, activation=nn.Tanh)
    thresholds = {"alarm5": FalseAlarmRate(0.05), "fixed": Fixed(3)}
    return LitAutoencoder(net, {"reconstruction": ReconstructionError(), **scores}, thresholds)


def make_data() -> Digits:
    return Digits(anomaly_classes=[0], batch_size=32, split_seed=9)


def test_a_plain_trainer_gives_metrics_and_a_checkpoint_that_loads(tmp_path: Path) -> None:
    trainer, module, data = make_trainer(), make_module(kmeans=KMeans(4)), make_data()
    trainer.fit(module, data)
    trainer.save_checkpoint(tmp_path / "plain.ckpt")
    (metrics,) = trainer.test(module, data, verbose=False)
    assert 0.5 < metrics["test/auroc/reconstruction"] <= 1
    assert {"test/auroc/kmeans", "test/normal_accuracy/reconstruction@fixed"} <= metrics.keys()
    again = LitAutoencoder.load_from_checkpoint(tmp_path / "plain.ckpt", weights_only=True)
    assert isinstance(again.net, DenseAutoencoder)
    assert make_trainer().test(again, make_data(), verbose=False) == [metrics]


def test_a_number_of_numpy_is_kept_as_a_plain_one(tmp_path: Path) -> None:
    module = LitAutoencoder(make_module().net, thresholds={"fixed": Fixed(np.percentile([1, 2, 3], 95))})  # a float64
    trainer = make_trainer(max_epochs=1, limit_train_batches=1)
    trainer.fit(module, make_data())
    trainer.save_checkpoint(tmp_path / "numpy.ckpt")
    again = LitAutoencoder.load_from_checkpoint(tmp_path / "numpy.ckpt", weights_only=True)
    assert again.detector.threshold_values("reconstruction") == {"fixed": pytest.approx(2.9)}


def test_the_shortest_way(tmp_path: Path) -> None:
    trainer = make_trainer(max_epochs=1)
    trainer.fit(LitAutoencoder(DenseAutoencoder((1, 8, 8), (24,), 3)), make_data())
    assert {"val/loss", "val/auroc/reconstruction"} <= trainer.callback_metrics.keys()


def test_what_cannot_be_described_is_given_when_the_checkpoint_is_loaded(tmp_path: Path) -> None:
    net = DenseAutoencoder((1, 8, 8), (24,), 3, activation=lambda: nn.ReLU())
    with pytest.raises(TypeError, match="cannot be imported"):
        describe(net)
    trainer = make_trainer(max_epochs=1)
    trainer.fit(LitAutoencoder(net), make_data())
    trainer.save_checkpoint(tmp_path / "plain.ckpt")
    other = DenseAutoencoder((1, 8, 8), (24,), 3)
    again = LitAutoencoder.load_from_checkpoint(tmp_path / "plain.ckpt", net=other, weights_only=True)
    assert torch.equal(next(again.net.parameters()), next(net.parameters()))


class MeanDistance(Score):
    """Distance of the code to the mean of training codes; counts how often it is fitted."""

    reads = ("code",)
    fitted_on = "train"
    fits = 0
    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.empty(0))

    def fit(self, outputs: Output) -> None:
        self.fits += 1
        assert len(outputs.code) == 1165
        self.mean = outputs.code.mean(0)

    def forward(self, output: Output) -> Tensor:
        return (output.code - self.mean).square().sum(1)


class CountPasses(Digits):
    """Counts the passes over the training images that are for scores."""

    passes = 0

    def train_in_order_dataloader(self) -> Any:
        self.passes += 1
        return super().train_in_order_dataloader()


def test_scores_fitted_on_training_images_share_one_pass() -> None:
    data = CountPasses(anomaly_classes=[0], batch_size=32, split_seed=9)
    make_trainer(max_epochs=3).fit(make_module(one=MeanDistance(), other=MeanDistance()), data)
    assert data.passes == 3


class Losses(L.Callback):
    """Keeps the loss and the names of the scores of every validation."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, bool]] = []

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, LitAutoencoder)
        if not trainer.sanity_checking:
            self.seen.append((pl_module.validation_loss(), "mean" in pl_module.evaluation().scores))


def test_fitting_only_when_the_loss_improved() -> None:
    score, losses = MeanDistance(), Losses()
    module = make_module(mean=score)
    module.optimizer = lambda parameters: torch.optim.SGD(parameters, lr=20.0, momentum=0.95)  # a bumpy way down
    make_trainer(max_epochs=12, callbacks=[losses, FitScores("improved")]).fit(module, make_data())
    lowest, expected = float("inf"), []
    for loss, _ in losses.seen:
        expected.append(loss < lowest)
        lowest = min(loss, lowest)
    assert [fitted for _, fitted in losses.seen] == expected
    assert score.fits == sum(expected) < 12


def fit_down_and_up(
    epochs: int, start: Path | None = None, third: float = 1.0
) -> tuple[L.Trainer, LitAutoencoder, list[tuple[float, bool]]]:
    """Go down the loss in the first epoch, up again in the second, and by a share of the rate down in the third."""
    module = make_module(mean=MeanDistance(), fused=Fusion(["reconstruction", "mean"]))
    module.optimizer = lambda parameters: torch.optim.SGD(parameters, lr=0.1)
    rates = [1.0, -1.0, third, third]  # of each epoch, and of the next
    module.lr_scheduler = lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: rates[epoch])
    losses = Losses()
    trainer = make_trainer(max_epochs=epochs, callbacks=[losses, FitScores("improved")])
    trainer.fit(module, make_data(), ckpt_path=start)
    return trainer, module, losses.seen


def test_a_resumed_run_knows_the_lowest_loss_before(tmp_path: Path) -> None:
    """The third epoch is better than the second, where the run was interrupted, and worse than the first."""
    trainer, *_ = fit_down_and_up(2, third=0.5)
    trainer.save_checkpoint(tmp_path / "worse.ckpt")
    *_, whole = fit_down_and_up(3, third=0.5)
    *_, resumed = fit_down_and_up(3, tmp_path / "worse.ckpt", third=0.5)
    (first, _), (second, _), (third, fitted) = whole
    assert first < third < second
    assert not fitted
    assert resumed == [(third, False)]


def test_a_checkpoint_that_is_no_improvement_has_no_scores_of_other_weights(tmp_path: Path) -> None:
    trainer, module, _ = fit_down_and_up(2)
    trainer.save_checkpoint(tmp_path / "worse.ckpt")
    kept = torch.load(tmp_path / "worse.ckpt", weights_only=True)
    assert {tag.split("/")[-1].split("@")[0] for tag in kept["val_metrics"]} == {"loss", "reconstruction"}
    with pytest.raises(UserError, match=r"score 'mean' was never fitted.*improved"):
        trainer.test(module, make_data(), verbose=False)
    states = [fit_down_and_up(3)[1].state_dict(), fit_down_and_up(3, tmp_path / "worse.ckpt")[1].state_dict()]
    assert same(*states)
    assert states[0]["detector.calibrations.fused.normal_scores"].numel()


def test_fitting_at_the_end() -> None:
    score = MeanDistance()
    module, data = make_module(mean=score), make_data()
    trainer = make_trainer(callbacks=[FitScores("end")])
    trainer.fit(module, data)
    assert score.fits == 0
    trainer.validate(module, data, verbose=False)
    assert score.fits == 1
    (metrics,) = trainer.test(module, data, verbose=False)
    assert {"test/auroc/mean", "test/normal_accuracy/mean@alarm5"} <= metrics.keys()


def test_where_fit_scores_stands_makes_no_difference() -> None:
    first, last = Losses(), Losses()
    make_trainer(callbacks=[FitScores(), first]).fit(make_module(mean=MeanDistance()), make_data())
    make_trainer(callbacks=[last, FitScores()]).fit(make_module(mean=MeanDistance()), make_data())
    assert first.seen == last.seen
    assert all(fitted for _, fitted in first.seen)
