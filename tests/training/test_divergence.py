"""A fit that diverges stops there and says so; what it kept before is good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from aeanomaly.commands.main import main
from aeanomaly.errors import DivergedError
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.outputs import Output
from aeanomaly.training.divergence import check_loss
from tests.conftest import PLAIN
from tests.training.parts import make_data, make_module, make_trainer


class NaNFrom(DenseAutoencoder):
    """Its loss is no number in and after a training step, counted from 1."""

    def __init__(self, bad: int) -> None:
        super().__init__((1, 8, 8), hidden=(8,), code_size=3)
        self.bad, self.steps = bad, 0

    def training_loss(self, x: Tensor) -> tuple[dict[str, Tensor], Output]:
        terms, output = super().training_loss(x)
        self.steps += self.training
        factor = float("nan") if self.training and self.steps >= self.bad else 1.0
        return {name: term * factor for name, term in terms.items()}, output


@pytest.mark.parametrize("per_call", [1, 50])
def test_the_step_is_named_and_the_checkpoint_before_it(
    per_call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    net = ["--model.net", f"{__name__}.NaNFrom", "--model.net.bad", "60"]
    words = ["fit", *PLAIN, *net, "--model.steps_per_call", str(per_call), "--trainer.max_epochs", "3"]
    assert main(words) == 2
    last = Path("lightning_logs/version_0/checkpoints/last.ckpt")
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("aeanomaly: error: training diverged: the loss is nan at step 60 (epoch 2); ")
    assert f"the last good checkpoint is {last}; lower model.optimizer.lr" in error
    checkpoint = torch.load(last, weights_only=True)
    assert checkpoint["global_step"] == 37
    assert all(value.isfinite().all() for value in checkpoint["state_dict"].values())
    assert not Path("lightning_logs/version_0/metrics.json").exists()


def test_weights_out_of_all_bounds_are_not_scored_with() -> None:
    """The sigmoid keeps the loss of such a net within bounds."""
    module = make_module()
    module.optimizer = lambda parameters: torch.optim.Adam(parameters, lr=1e9)
    with pytest.raises(
        DivergedError, match=r"weights are as large as \de\+\d+ after step 37 \(epoch 1\); there is no good"
    ):
        make_trainer([], max_epochs=1).fit(module, make_data())


def test_no_checkpoint_is_written_of_weights_that_are_no_numbers(tmp_path: Path) -> None:
    class Spoil(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
            if trainer.global_step == 5:
                torch.nn.init.constant_(next(pl_module.parameters()), float("nan"))
                trainer.save_checkpoint(tmp_path / "spoilt.ckpt")

    with pytest.raises(DivergedError, match="weights are no longer finite after step 5"):
        make_trainer([Spoil()], max_epochs=1).fit(make_module(), make_data())
    assert not list(tmp_path.iterdir())


def test_a_scaler_of_gradients_may_leave_a_step_out() -> None:
    class Scales:
        scaler = object()

    trainer, module = make_trainer([], max_epochs=1), make_module()
    trainer.strategy.connect(module)
    module.trainer = trainer
    with pytest.raises(DivergedError):
        check_loss(module, float("inf"), 3)
    trainer.strategy.precision_plugin = Scales()  # type: ignore[assignment]
    check_loss(module, float("inf"), 3)
    torch.nn.init.constant_(next(module.parameters()), float("inf"))
    with pytest.raises(DivergedError, match="weights are no longer finite"):
        check_loss(module, float("inf"), 3)
