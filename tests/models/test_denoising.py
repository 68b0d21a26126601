"""The denoising net restores clean images, and sees them as they are in evaluation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from aeanomaly.models.corruptions import Corruption, Cutout
from aeanomaly.models.denoising import DenoisingAutoencoder
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.models.feature_reconstruction import FeatureAutoencoder
from aeanomaly.models.memory import MemoryAutoencoder
from aeanomaly.models.oriented_gradients import OrientedGradients
from aeanomaly.models.variational import VariationalAutoencoder
from aeanomaly.models.views import Geometry
from tests.conftest import REPOSITORY
from tests.models.test_base import WithFrontEnd


class Halved(Corruption):
    """Not random, so that the loss can be computed by hand."""

    def corrupt(self, x: Tensor) -> Tensor:
        return x / 2


def test_the_clean_image_is_the_target_of_the_corrupted_one() -> None:
    inner, images = DenseAutoencoder((1, 4, 4), (8,), 3), torch.rand(5, 1, 4, 4)
    terms, output = DenoisingAutoencoder(inner, Halved()).training_loss(images)
    restored = inner(images / 2)
    assert torch.equal(output.target, images)
    assert torch.equal(output.reconstruction, restored.reconstruction)
    assert torch.equal(output.code, restored.code)
    assert terms["reconstruction"].item() == pytest.approx((restored.reconstruction - images).square().mean().item())


def test_evaluation_sees_images_as_they_are() -> None:
    inner, images = DenseAutoencoder((1, 4, 4), (8,), 3), torch.rand(5, 1, 4, 4)
    net = DenoisingAutoencoder(inner, Halved()).eval()
    terms, output = net.training_loss(images)
    assert torch.equal(output.reconstruction, inner(images).reconstruction)
    assert terms["reconstruction"].item() == pytest.approx((output.reconstruction - images).square().mean().item())
    assert net.image_shape == (1, 4, 4)


def test_the_loss_of_the_net_stays() -> None:
    images, dense = torch.rand(5, 1, 4, 4), DenseAutoencoder((1, 4, 4), (8,), 6)
    terms, _ = DenoisingAutoencoder(MemoryAutoencoder(dense), Halved()).training_loss(images)
    assert list(terms) == ["reconstruction", "entropy"]
    inner = VariationalAutoencoder(dense, 2)
    terms, output = DenoisingAutoencoder(inner, Halved()).training_loss(images)
    p = output.reconstruction
    clean = -(images * p.log() + (1 - images) * (1 - p).log()).sum((1, 2, 3)).mean()
    assert terms["reconstruction"].item() == pytest.approx(clean.item(), rel=1e-4)
    assert terms["kl"].item() == pytest.approx(inner(images / 2).features["kl"].mean().item(), rel=1e-5)


def test_a_net_that_reconstructs_features_restores_those_of_the_clean_image() -> None:
    inner, images = WithFrontEnd(), torch.rand(5, 1, 4, 4)
    terms, output = DenoisingAutoencoder(inner, Halved()).training_loss(images)
    clean = inner.front_end(images)
    assert torch.equal(output.target, clean)
    expected = (inner(images / 2).reconstruction - clean).square().mean()
    assert terms["reconstruction"].item() == pytest.approx(expected.item())


def test_clean_images_leave_the_statistics_of_a_step_alone() -> None:
    """The features of clean images are the target, which needs no forward pass of the net over them."""
    inner = FeatureAutoencoder(OrientedGradients(scales=[1], grid=4), None, (8, 8), 16, 4)
    DenoisingAutoencoder(inner, Halved()).train().training_loss(torch.rand(5, 1, 8, 8))
    assert inner.layer1[1].num_batches_tracked == 1


def test_a_view_is_a_corruption_in_training_only() -> None:
    net, images = DenoisingAutoencoder(DenseAutoencoder((1, 8, 8), (8,), 3), Geometry()), torch.rand(5, 1, 8, 8)
    assert not torch.equal(net.train().training_loss(images)[1].code, net.net(images).code)
    assert torch.equal(net.eval().training_loss(images)[1].code, net.net(images).code)


def test_the_corruption_differs_from_step_to_step() -> None:
    net, images = DenoisingAutoencoder(DenseAutoencoder((1, 8, 8), (8,), 3), Cutout()), torch.ones(5, 1, 8, 8)
    one, two = (net.training_loss(images)[1].code for _ in range(2))
    assert not torch.equal(one, two)


def test_a_resumed_run_repeats_the_corruptions(fit: Callable[..., Path]) -> None:
    words = ["--config", str(REPOSITORY / "configs" / "nets" / "denoising.yaml")]
    words += ["--model.net.corruption", "CutPaste"]
    last = Path("checkpoints") / "last.ckpt"
    whole, half = fit(*words), fit(*words, "--trainer.max_epochs", "1")
    resumed = fit(*words, "--ckpt_path", str(half / last))
    found, expected = (torch.load(run / last, weights_only=True)["state_dict"] for run in (resumed, whole))
    assert all(torch.equal(found[key], value) for key, value in expected.items())
