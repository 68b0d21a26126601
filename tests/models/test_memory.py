"""The memory against the paper's formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.models.convolutional import ConvolutionalAutoencoder
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.models.memory import MemoryAutoencoder
from tests.models.test_base import WithFrontEnd


def by_the_paper(code: Tensor, net: MemoryAutoencoder, threshold: float, temperature: float) -> tuple[Any, Any]:
    """Equations 3 to 7 of Gong et al., for one code after the other."""
    memory, recalled, weights = net.memory.detach().double().numpy(), [], []
    for z in code.detach().double().numpy():
        likeness = [z @ slot / np.linalg.norm(z) / np.linalg.norm(slot) / temperature for slot in memory]
        w = np.exp(likeness) / np.exp(likeness).sum()
        w = np.maximum(w - threshold, 0) * w / (np.abs(w - threshold) + 1e-15)
        w = w / np.abs(w).sum()
        recalled.append(w @ memory)
        weights.append(w)
    return np.array(recalled), np.array(weights)


@pytest.mark.parametrize(("shrinkage", "temperature"), [(0.0, 1.0), (1.0, 1.0), (2.5, 0.2)])
def test_the_memory_recalls_by_the_papers_formulas(shrinkage: float, temperature: float) -> None:
    torch.manual_seed(0)
    net = MemoryAutoencoder(DenseAutoencoder((1, 4, 4), (8,), 6), 30, shrinkage, temperature)
    images = torch.rand(5, 1, 4, 4)
    output, weights = net(images), net.recall(net.encode(images))[1].detach()
    recalled, expected = by_the_paper(output.code, net, shrinkage / 30, temperature)
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    np.testing.assert_allclose(output.features["recalled"].detach(), recalled, atol=1e-5)
    assert torch.equal(output.reconstruction, net.net.decode(output.features["recalled"]))
    np.testing.assert_allclose(output.features["entropy"].detach(), entropy(expected, axis=1), rtol=1e-4)
    assert ((weights == 0).float().mean() > 0.3) == (shrinkage > 0)


def test_each_place_of_a_spatial_code_is_looked_up_by_itself() -> None:
    torch.manual_seed(0)
    net = MemoryAutoencoder(ConvolutionalAutoencoder((1, 9, 6), (4, 5), None), 20).eval()
    output = net(torch.rand(3, 1, 9, 6))
    assert output.code.shape == (3, 5, 3, 2)
    for place in np.ndindex(3, 2):
        alone = net.recall(output.code[:, :, place[0], place[1]])[0]
        assert torch.allclose(output.features["recalled"][:, :, place[0], place[1]], alone, atol=1e-6)
    places = output.code.movedim(1, -1).reshape(-1, 5)
    weights = by_the_paper(places, net, 1 / 20, 1.0)[1]
    expected = entropy(weights, axis=1).reshape(3, 6).mean(1)
    np.testing.assert_allclose(output.features["entropy"].detach(), expected, rtol=1e-4)


def test_the_loss_adds_the_weighted_entropy() -> None:
    net = MemoryAutoencoder(DenseAutoencoder((1, 4, 4), (8,), 6), 30, entropy_weight=0.5)
    images = torch.rand(5, 1, 4, 4)
    terms, output = net.training_loss(images)
    assert list(terms) == ["reconstruction", "entropy"]
    assert terms["entropy"].item() == pytest.approx(0.5 * output.features["entropy"].mean().item())
    assert terms["reconstruction"].item() == pytest.approx((output.reconstruction - images).square().mean().item())


def test_a_code_that_resembles_no_slot_more_than_another_recalls_nothing_and_breaks_nothing() -> None:
    net = MemoryAutoencoder(DenseAutoencoder((1, 4, 4), (8,), 6), 30, shrinkage=1.5)
    with torch.no_grad():
        net.memory.copy_(net.memory[:1].expand(30, 6))
    terms, output = net.training_loss(torch.rand(5, 1, 4, 4))
    sum(terms.values()).backward()  # type: ignore[union-attr]
    assert output.features["recalled"].abs().max() == 0
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    "options",
    [{"slots": 0}, {"shrinkage": -1.0}, {"shrinkage": 100.0}, {"temperature": 0.0}, {"entropy_weight": -1.0}],
)
def test_impossible_numbers_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="a memory needs"):
        MemoryAutoencoder(DenseAutoencoder((1, 4, 4), (8,), 6), **options)


def test_a_net_of_unknown_size_or_purpose_is_refused() -> None:
    inner = WithFrontEnd()
    with pytest.raises(UserError, match="must have an image_shape"):
        MemoryAutoencoder(inner)
    inner.image_shape = (1, 4, 4)
    with pytest.raises(UserError, match="must reconstruct the image"):
        MemoryAutoencoder(inner)
