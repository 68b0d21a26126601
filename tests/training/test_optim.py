"""The fused optimiser against the one of torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from aeanomaly.training.optim import Adam


def trained(kind: Any, **options: Any) -> Tensor:
    """Six weights after five steps."""
    weights = torch.ones(6, requires_grad=True)
    optimizer = kind([weights], lr=0.05, **options)
    for step in range(5):
        optimizer.zero_grad()
        (weights.square() * torch.arange(6) / (step + 1)).sum().backward()
        optimizer.step()
    return weights.detach()


def test_steps_are_those_of_torch() -> None:
    torch.testing.assert_close(trained(Adam), trained(torch.optim.Adam))


@pytest.mark.parametrize("options", [{"betas": (0.5, 0.6)}, {"eps": 0.1}, {"weight_decay": 0.3}], ids=str)
def test_every_option_is_taken(options: dict[str, Any]) -> None:
    torch.testing.assert_close(trained(Adam, **options), trained(torch.optim.Adam, **options))
    assert not torch.allclose(trained(Adam, **options), trained(Adam))
