"""The logic around a recorded loss, with a recorder that runs on a CPU. The recording itself needs a GPU."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.models.convolutional import ConvolutionalAutoencoder
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.outputs import Output
from aeanomaly.training.graphed import graphed_loss
from aeanomaly.training.running_loss import total


class Recorder:
    """Stands in for `torch.cuda.make_graphed_callables`: warms up as it does, and counts what is replayed."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, loss: torch.nn.Module, arguments: tuple[Tensor]) -> Callable[[Tensor], dict[str, Tensor]]:
        assert not torch.is_autocast_cache_enabled()
        self.recorded += 1
        loss(*arguments)

        def replay(image: Tensor) -> dict[str, Tensor]:
            self.replayed += 1
            found: dict[str, Tensor] = loss(image)
            return found

        return replay


class TwoTerms(DenseAutoencoder):
    """Keeps its codes small, too."""

    def training_loss(self, x: Tensor) -> tuple[dict[str, Tensor], Output]:
        terms, output = super().training_loss(x)
        return {**terms, "size": output.code.square().mean()}, output


def small(kind: type[DenseAutoencoder] = DenseAutoencoder) -> DenseAutoencoder:
    torch.manual_seed(0)
    return kind((1, 8, 8), hidden=(24,), code_size=3)


def test_a_recorded_loss_has_the_terms_and_gradients_of_the_net() -> None:
    batches = [torch.rand(16 if number != 2 else 9, 1, 8, 8) for number in range(4)]
    recorder, net, plain = Recorder(), small(TwoTerms), small(TwoTerms)
    recorded = graphed_loss(net, batches[0], recorder)
    assert torch.is_autocast_cache_enabled()
    for batch in batches:
        terms, (expected, _) = recorded(batch), plain.training_loss(batch)
        assert list(terms) == list(expected) == ["reconstruction", "size"]
        assert all(torch.equal(terms[name], expected[name]) for name in terms)
        total(terms).backward()
        total(expected).backward()
    for one, other in zip(net.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)  # type: ignore[arg-type]
    assert (recorder.recorded, recorder.replayed) == (1, 3)  # all but the batch of another size


def test_recording_leaves_the_running_statistics_of_batch_norm_alone() -> None:
    net = ConvolutionalAutoencoder((1, 8, 8), (4, 8), 3)
    buffers, before = list(net.buffers()), [buffer.clone() for buffer in net.buffers()]
    recorded = graphed_loss(net, torch.rand(16, 1, 8, 8), Recorder())
    assert all(map(torch.equal, buffers, before))
    recorded(torch.rand(16, 1, 8, 8))
    assert not any(map(torch.equal, buffers, before))  # the same objects, which a recording writes to


def test_a_net_that_cannot_be_recorded_says_so() -> None:
    def refuse(*_: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    with pytest.raises(UserError, match=r"cannot be recorded \(operation not permitted when stream is capturing\)"):
        graphed_loss(small(), torch.rand(16, 1, 8, 8), refuse)


@pytest.mark.parametrize(
    "draw",
    [random.random, np.random.rand, lambda: float(torch.rand(()))],
    ids=["random", "numpy", "torch"],
)
def test_random_numbers_of_the_cpu_are_refused(draw: Callable[[], float]) -> None:
    class Shifting(DenseAutoencoder):
        def training_loss(self, x: Tensor) -> tuple[dict[str, Tensor], Output]:
            return super().training_loss(x * draw())

    with pytest.raises(UserError, match="draws random numbers on the CPU"):
        graphed_loss(small(Shifting), torch.rand(16, 1, 8, 8), Recorder())
