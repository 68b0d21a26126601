"""The logic around a captured step, with a recorder that runs on a CPU. The capture itself needs a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision, Precision
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.training.captured import CapturedStep, as_plain
from aeanomaly.training.optim import Adam
from aeanomaly.training.stepping import PlainStep


class Recorder:
    """Stands in for a CUDA graph: replaying runs the function again, on whatever its tensors hold by then."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, step: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        self.recorded += 1
        filled = torch.zeros(())

        def replay() -> None:
            self.replayed += 1
            for group in optimizer_of(step).param_groups:  # a graph writes gradients, it does not add to them
                for parameter in group["params"]:
                    parameter.grad = None
            filled.copy_(step())

        return replay, filled


def optimizer_of(step: Any) -> torch.optim.Optimizer:
    optimizer: torch.optim.Optimizer = step.__self__.optimizer
    return optimizer


def train(kind: Callable[..., PlainStep], precision: Precision, batches: list[Tensor]) -> tuple[list[float], Any, Any]:
    torch.manual_seed(0)
    net = DenseAutoencoder((1, 8, 8), hidden=(24,), code_size=3)
    optimizer = Adam(net.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    step = kind(net.loss, optimizer, precision, [schedule])
    return [float(step.take(batch)) for batch in batches], net.state_dict(), optimizer


@pytest.mark.parametrize("precision", [Precision(), MixedPrecision("bf16-mixed", "cpu")], ids=["32-true", "bf16-mixed"])
def test_replayed_steps_are_the_plain_ones(precision: Precision) -> None:
    torch.manual_seed(1)
    batches = [torch.rand(16 if number != 6 else 9, 1, 8, 8) for number in range(12)]
    plain_losses, plain, _ = train(PlainStep, precision, batches)
    recorder = Recorder()
    losses, captured, _ = train(lambda *args: CapturedStep(*args, record=recorder), precision, batches)
    assert recorder.recorded == 1
    assert recorder.replayed == 12 - 3 - 1  # less the warm-up and the batch of another size
    torch.testing.assert_close(losses, plain_losses)
    torch.testing.assert_close(captured, plain)  # the learning rate is float32 here, float64 there


def test_saved_state_of_a_captured_optimizer_is_a_plain_one() -> None:
    batches = [torch.rand(16, 1, 8, 8)] * 5
    _, _, plain = train(PlainStep, Precision(), batches)
    _, _, captured = train(lambda *args: CapturedStep(*args, record=Recorder()), Precision(), batches)
    state = captured.state_dict()
    assert isinstance(state["param_groups"][0]["lr"], Tensor)
    as_plain(state)
    expected, found = plain.state_dict()["param_groups"][0], state["param_groups"][0]
    assert found.pop("lr") == pytest.approx(expected.pop("lr"))
    found.pop("initial_lr"), expected.pop("initial_lr")
    assert found == expected


def test_an_optimizer_that_cannot_be_captured_is_refused_by_name() -> None:
    net = DenseAutoencoder((1, 8, 8), hidden=(24,), code_size=3)
    with pytest.raises(UserError, match="SparseAdam cannot be part of a CUDA graph"):
        CapturedStep(net.loss, torch.optim.SparseAdam(net.parameters()), Precision(), [])


def test_a_step_that_cannot_be_captured_says_so() -> None:
    def refuse(step: Callable[[], Tensor]) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    with pytest.raises(UserError, match=r"cannot be captured \(operation not permitted when stream is capturing\)"):
        train(lambda *args: CapturedStep(*args, record=refuse), Precision(), [torch.rand(16, 1, 8, 8)] * 4)


def test_a_schedule_that_changes_the_momentum_is_refused() -> None:
    optimizer = Adam(DenseAutoencoder((1, 8, 8), hidden=(24,), code_size=3).parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=10)
    with pytest.raises(UserError, match="cycle_momentum"):
        CapturedStep(lambda x: x.mean(), optimizer, Precision(), [schedule])
