"""Of which checkpoint the values in metrics.json are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.demos.boring_classes import BoringModel

from aeanomaly.callbacks.last_checkpoint import LastCheckpoint
from aeanomaly.callbacks.run_record import RunRecord
from aeanomaly.data.sources.digits import Digits
from aeanomaly.errors import UserError
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.runs.checkpoints import chosen_checkpoint, read_checkpoint
from aeanomaly.runs.logger import RunLogger
from aeanomaly.training.module import LitAutoencoder

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")


class WorseAndWorse(L.Callback):
    """Spoils the weights before every validation but the first, so that the first epoch is the best."""

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        with torch.no_grad():
            for parameter in pl_module.parameters():
                parameter += 0.3 * (trainer.current_epoch > 0)


def fitted(root: Path, *callbacks: L.Callback) -> tuple[L.Trainer, LitAutoencoder]:
    """A fit of three epochs into ``root``, each worse than the one before."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"accelerator": "cpu", "devices": 1, "max_epochs": 3, "enable_progress_bar": False}
    options["log_every_n_steps"] = 1
    logger, callbacks = RunLogger(root), (WorseAndWorse(), *callbacks, RunRecord())
    trainer = L.Trainer(logger=logger, callbacks=list(callbacks), enable_model_summary=False, **options)
    module = LitAutoencoder(DenseAutoencoder((1, 8, 8), (24,), 3))
    trainer.fit(module, Digits(anomaly_classes=[0], batch_size=64, split_seed=9))
    return trainer, module


def recorded(trainer: L.Trainer) -> dict[str, Any]:
    """The validation's values in metrics.json."""
    content = json.loads(Path(trainer.loggers[0].log_dir or "", "metrics.json").read_text())
    return {name: value for name, value in content.items() if name.startswith("val/")}


def test_values_are_those_of_the_best_checkpoint_then_of_the_tested_one(tmp_path: Path) -> None:
    # The one that monitors does not come first in the list.
    last, best = LastCheckpoint(), ModelCheckpoint(monitor="val/loss", filename="best")
    trainer, module = fitted(tmp_path, last, best)
    of_best, of_last = (read_checkpoint(Path(each.best_model_path))["val_metrics"] for each in (best, last))
    assert of_best["val/loss"] < 0.5 * of_last["val/loss"]
    assert {"val/loss", "val/auroc/reconstruction"} <= of_best.keys() == of_last.keys()
    assert chosen_checkpoint(trainer) == Path(best.best_model_path)
    assert recorded(trainer) == of_best
    trainer.test(module, trainer.datamodule, ckpt_path=best.best_model_path, verbose=False)  # type: ignore[attr-defined]
    assert recorded(trainer) == of_best
    trainer.test(module, trainer.datamodule, ckpt_path=last.best_model_path, verbose=False)  # type: ignore[attr-defined]
    assert recorded(trainer) == of_last
    assert not RunRecord().state_dict()  # nothing for a resumed run to get wrong


def test_without_a_monitor_they_are_those_of_the_last_validation(tmp_path: Path) -> None:
    trainer, module = fitted(tmp_path, LastCheckpoint())
    assert chosen_checkpoint(trainer) is None
    logged = {name: float(v) for name, v in trainer.callback_metrics.items() if name.startswith("val/")}
    assert recorded(trainer) == logged
    assert "val/loss" in logged
    trainer.test(module, trainer.datamodule, verbose=False)  # type: ignore[attr-defined]
    assert recorded(trainer) == logged  # the weights at hand were tested


def test_a_checkpoint_without_values_or_that_is_none(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "pytorch-lightning_version": "2.6"}, tmp_path / "early.ckpt")
    assert not read_checkpoint(tmp_path / "early.ckpt").get("val_metrics")
    (tmp_path / "other.ckpt").write_text("something else")
    with pytest.raises(UserError, match=r"other\.ckpt is not a readable checkpoint"):
        read_checkpoint(tmp_path / "other.ckpt")


def test_a_module_of_another_kind_is_named(tmp_path: Path) -> None:
    trainer = L.Trainer(default_root_dir=tmp_path, logger=False, callbacks=[RunRecord()], fast_dev_run=True)
    with pytest.raises(UserError, match="RunRecord needs a LitAutoencoder, not BoringModel"):
        trainer.test(BoringModel(), verbose=False)
