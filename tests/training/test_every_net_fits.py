"""What holds for fits of every net with every score: anomalies choose nothing, randomness follows seed and epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import lightning as L
import pytest
import torch
from torch import Tensor

from aeanomaly.callbacks.last_checkpoint import LastCheckpoint
from aeanomaly.data.base import Arrays, OneClassDataModule
from aeanomaly.data.table import ImageTable
from aeanomaly.evaluation.thresholds import FalseAlarmRate
from aeanomaly.training.module import LitAutoencoder
from tests.every_part import NETS, RANDOM, scores_of, smooth_images
from tests.training.parts import make_trainer, same

every_net = pytest.mark.parametrize("name", NETS)
Anomalies = Literal["true", "others", "removed"]


class Smooth(OneClassDataModule):
    """90 normal smooth images for training and validation and as many for the test, and 20 anomalous ones, brighter.

    Args:
        anomalies: ``others`` has fewer and different ones for validation, ``removed`` has none.
    """

    def __init__(self, anomalies: Anomalies = "true") -> None:
        # 27 normal validation images, so that the second batch has room for anomalous ones.
        super().__init__(anomaly_classes=[0], val_fraction=0.3, batch_size=16, eval_batch_size=24, split_seed=0)
        self.anomalies = anomalies

    def load(self) -> Arrays:
        labels = (torch.arange(110) % 11 > 1).long()
        train, test = (smooth_images(110, seed) * (1 - 0.5 * labels).view(-1, 1, 1, 1) for seed in (1, 2))
        kept = torch.ones(110, dtype=torch.bool)
        if self.anomalies == "others":
            train[labels == 0] = train[labels == 0].flip(0).square()
            kept[:50] = labels[:50] == 1
        train, test = ((255 * array).to(torch.uint8) for array in (train, test))
        return Arrays(train[kept], labels[kept], test, labels)

    def setup(self, stage: str | None = None) -> None:
        first = not self._tables
        super().setup(stage)
        if first and self.anomalies == "removed":
            # Taken out here, because a source without anomalies is refused.
            arrays, rows = self.load(), self.split.val_normal
            labels = arrays.train_labels[rows]
            self._tables["val"] = ImageTable(arrays.train_images, labels, labels == 0, rows)


def module_of(name: str, every_score: bool = False, rate: float = 0.01) -> LitAutoencoder:
    L.seed_everything(9, verbose=False)
    net = NETS[name]()
    scores = scores_of(net) if every_score else None
    return LitAutoencoder(net, scores, {"alarm10": FalseAlarmRate(0.1)}, lambda p: torch.optim.SGD(p, rate, 0.9))


def outcome(name: str, anomalies: Anomalies) -> dict[str, Any]:
    """Everything that a fit of two epochs and a test lead to."""
    module, data = module_of(name, every_score=True), Smooth(anomalies)
    trainer = make_trainer([], max_epochs=2, check_val_every_n_epoch=2)
    trainer.fit(module, data)
    assert (data.sizes()["val_anomaly"] == 0) == (anomalies == "removed")
    loss = float(trainer.callback_metrics["val/loss"])
    trainer.test(module, data, verbose=False)
    tested = module.evaluation()
    return {
        "state": module.state_dict(),
        "thresholds": tested.thresholds,
        "scores": tested.scores,
        "metrics": tested.metrics,
        "loss": loss,
    }


@every_net
def test_weights_scores_and_thresholds_do_not_depend_on_anomalies(name: str) -> None:
    true, others, removed = (outcome(name, kind) for kind in ("true", "others", "removed"))
    assert len(true["scores"]) >= 10
    for part, value in true.items():
        assert same(value, others[part]), part
        assert same(value, removed[part]), part


class Losses(L.Callback):
    """Keeps the loss of every epoch."""

    def __init__(self) -> None:
        self.by_epoch: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, *_: Any) -> None:
        self.by_epoch.append(float(outputs["loss"]))


def draws(name: str, seed: int) -> list[float]:
    """The training loss of three epochs, each of the same batch with the same weights, whatever the seed."""
    module, losses = module_of(name, rate=0.0), Losses()
    L.seed_everything(seed, verbose=False)
    trainer = make_trainer([losses], max_epochs=3, overfit_batches=1, limit_val_batches=0)
    trainer.fit(module, Smooth())
    return losses.by_epoch


@every_net
def test_what_is_random_differs_from_epoch_to_epoch_and_follows_the_seed(name: str) -> None:
    found, again, other = draws(name, 9), draws(name, 9), draws(name, 10)
    assert found == again
    assert len({*found, *other}) == (6 if name in RANDOM else 1), "not as RANDOM in tests/every_part.py says"


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@every_net
def test_a_resumed_fit_ends_like_an_uninterrupted_one(name: str, tmp_path: Path) -> None:
    def fitted(folder: str, epochs: int, resumed: Path | None = None) -> tuple[Path, dict[str, Tensor]]:
        module, root = module_of(name), tmp_path / folder
        trainer = make_trainer([LastCheckpoint()], max_epochs=epochs, enable_checkpointing=True, default_root_dir=root)
        trainer.fit(module, Smooth(), ckpt_path=resumed, weights_only=True)
        return root / "checkpoints" / "last.ckpt", module.state_dict()

    _, whole = fitted("whole", 2)
    last, half = fitted("half", 1)
    assert not same(half, whole)
    assert same(fitted("resumed", 2, last)[1], whole)
