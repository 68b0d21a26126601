"""Seeds of any size against each other."""

from __future__ import annotations

import pytest
import torch

from aeanomaly.data.loading import IndexBatches
from aeanomaly.data.splits import split_training_set
from aeanomaly.outputs import folded


def drawn(seed: int) -> list[float]:
    return torch.rand(4, generator=torch.Generator().manual_seed(folded(seed))).tolist()


def test_seeds_of_32_bits_stay() -> None:
    assert [folded(seed) for seed in (0, 9, 2**32 - 1)] == [0, 9, 2**32 - 1]


@pytest.mark.parametrize("other", [-7, 7 + 2**32, 7 + 2**50, 7 - 2**63, 7 + 2**100])
def test_seeds_that_differ_in_high_bits_or_sign_draw_other_numbers(other: int) -> None:
    assert 0 <= folded(other) < 2**32
    assert drawn(other) == drawn(other)
    assert drawn(other) != drawn(7)


def test_seeds_whose_low_bits_are_alike_give_other_orders_and_splits() -> None:
    """Shifted left to make room for an epoch, the seeds 7 and 7 + 2**12 share their lowest 32 bits."""
    assert IndexBatches(50, 8, 7).order().tolist() != IndexBatches(50, 8, 7 + 2**12).order().tolist()
    anomalous = torch.arange(50) % 5 == 0
    low, high = (split_training_set(anomalous, 0.5, 0.0, seed).train.tolist() for seed in (7, 7 + 2**32))
    assert low != high
