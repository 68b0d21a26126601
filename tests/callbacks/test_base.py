"""When callbacks that look at an evaluation do so."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import TensorBoardLogger

from aeanomaly.callbacks.base import EvaluationCallback
from aeanomaly.callbacks.density import DensityFigure
from aeanomaly.callbacks.health import HealthCheck
from aeanomaly.callbacks.heat_maps import HeatMaps
from aeanomaly.callbacks.histograms import ScoreHistograms
from aeanomaly.callbacks.projector import CodeProjector
from aeanomaly.callbacks.reconstructions import ReconstructionGrid
from aeanomaly.callbacks.side_by_side import SideBySide
from aeanomaly.data.sources.digits import Digits
from aeanomaly.errors import UserError
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.outputs import Batch, Evaluation, Output
from aeanomaly.training.module import LitAutoencoder
from tests.projections import evaluation

ALL = [DensityFigure, HealthCheck, ScoreHistograms, CodeProjector, ReconstructionGrid, SideBySide, HeatMaps]


class Watching(EvaluationCallback):
    """Notes when it is called, with how many images."""

    def __init__(self, every_n_epochs: int | None = 1) -> None:
        super().__init__(every_n_epochs)
        self.seen: list[tuple[str, int, int]] = []
        self.images = 0

    def on_images(self, trainer: L.Trainer, output: Output, batch: Batch, stage: str) -> None:
        self.images += len(output.code)

    def on_evaluation(self, trainer: L.Trainer, module: LitAutoencoder, evaluation: Evaluation, stage: str) -> None:
        assert self.images == len(evaluation.index)
        self.seen.append((stage, trainer.current_epoch, self.images))
        self.images = 0


class WatchingFits(Watching):
    """Leaves the validations of the command `validate` out."""

    only_validations_of_a_fit = True


class Evaluated(LitAutoencoder):
    """A module that has just evaluated thirty images, and counts how often it is asked for them."""

    def __init__(self) -> None:
        super().__init__(DenseAutoencoder([1, 8, 8], [4], 2))
        self.asked = 0

    def evaluation(self) -> Evaluation:
        self.asked += 1
        return evaluation(30)


def module() -> LitAutoencoder:
    return LitAutoencoder(DenseAutoencoder([1, 8, 8], [4], 2))


def trainer(callbacks: list[L.Callback], **options: Any) -> L.Trainer:
    settings = {"accelerator": "cpu", "devices": 1, "logger": False, "enable_checkpointing": False, "max_epochs": 4}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    return L.Trainer(callbacks=callbacks, **{**settings, **quiet, **options})


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*")
def test_due_epochs_of_a_fit_and_every_other_pass_but_never_the_sanity_check() -> None:
    second, never, fits = Watching(2), Watching(None), WatchingFits()
    running = trainer([second, never, fits], num_sanity_val_steps=2)
    trained, data = module(), Digits(anomaly_classes=[0])
    running.fit(trained, datamodule=data)
    validation = 272
    assert second.seen == [("val", 1, validation), ("val", 3, validation)]
    assert never.seen == []
    assert fits.seen == [("val", epoch, validation) for epoch in range(4)]
    for callback in (second, never, fits):
        callback.seen = []
    running.validate(trained, datamodule=data, verbose=False)
    running.test(trained, datamodule=data, verbose=False)
    stages = [[stage for stage, *_ in callback.seen] for callback in (second, never, fits)]
    assert stages == [["val", "test"], ["val", "test"], ["test"]]
    assert second.seen[-1][2] == 360


@pytest.mark.parametrize("callback", ALL)
def test_every_device_makes_the_evaluation_and_the_first_alone_writes(
    callback: type[EvaluationCallback], tmp_path: Path
) -> None:
    logger = TensorBoardLogger(tmp_path)
    others: Any = SimpleNamespace(
        is_global_zero=False, sanity_checking=False, state=SimpleNamespace(fn="test"), loggers=[logger], strategy=None
    )
    others.test_dataloaders = SimpleNamespace(dataset=range(30))
    asked, looking = Evaluated(), callback()
    looking.on_test_epoch_end(others, asked)
    assert asked.asked == 1
    assert looking.writer(others) is None
    assert list(tmp_path.iterdir()) == []
    others.is_global_zero = True
    assert looking.writer(others) is logger.experiment
    others.loggers = []
    assert looking.writer(others) is None


@pytest.mark.parametrize("callback", ALL)
def test_a_module_of_another_kind_is_named_before_anything_runs(callback: type[EvaluationCallback]) -> None:
    with pytest.raises(UserError, match=f"{callback.__name__} needs a LitAutoencoder, not BoringModel: remove"):
        trainer([callback()], fast_dev_run=True).fit(BoringModel())


@pytest.mark.parametrize("callback", [DensityFigure, ScoreHistograms, ReconstructionGrid, SideBySide])
def test_an_interval_below_one_epoch_is_a_users_mistake(callback: Any) -> None:
    with pytest.raises(UserError, match=f"{callback.__name__}: every_n_epochs must be at least 1, got 0"):
        callback(every_n_epochs=0)


def test_the_grid_shows_class_and_scores_of_its_own_images(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(ReconstructionGrid, "writer", lambda self, trainer: object())
    monkeypatch.setattr(ReconstructionGrid, "show", lambda self, trainer, *rest: shown.append(rest))
    running: Any = SimpleNamespace(is_global_zero=True, sanity_checking=False, state=SimpleNamespace(fn="test"))
    callback, given = ReconstructionGrid(images=2), evaluation(30)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    for rows in order.split(7):  # as in a pass of several devices, whose images do not come in order
        images = torch.rand(len(rows), 1, 8, 8, generator=torch.Generator().manual_seed(0))
        batch = Batch(images, given.label[rows], given.is_anomaly[rows], given.index[rows])
        callback.on_test_batch_end(running, Evaluated(), Output(images.flatten(1), 1 - images, images), batch, 0)
    assert all(torch.equal(column.reconstruction, 1 - column.target) for column in callback._kept)
    first = next(column for column in callback._kept if column.index == order[:7][~given.is_anomaly[order[:7]]][0])
    drawn = torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(first.target, drawn[~given.is_anomaly[order[:7]]][0])
    callback.on_test_epoch_end(running, Evaluated())
    ((figure, tag, name),) = shown
    assert (tag, name) == ("test/reconstructions", "reconstructions")
    texts = [text.get_text() for text in figure.axes[0].texts]
    index, label, score = texts[:4], texts[4:8], texts[8:]
    normal, anomalous = ([str(i) for i in order.tolist() if (i % 10 == 0) == kind] for kind in (False, True))
    assert index == normal[:2] + anomalous[:2]
    assert label == [str(int(i) % 10) for i in index]
    assert score == index  # the score of image i is i
