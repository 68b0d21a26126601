"""What holds for every net of the package: it learns, comes back from a checkpoint, and draws as it is seeded."""

from __future__ import annotations

import io

import pytest
import torch
from torch import Tensor

import aeanomaly.models
from aeanomaly.models.base import Autoencoder
from aeanomaly.training.description import describe
from tests.every_part import NETS, RANDOM, classes_of, smooth_images

every_net = pytest.mark.parametrize("name", NETS)


def net_and_images(name: str) -> tuple[Autoencoder, Tensor]:
    torch.manual_seed(0)
    return NETS[name](), smooth_images(6)


def loss(net: Autoencoder, images: Tensor) -> Tensor:
    return torch.stack(list(net.training_loss(images)[0].values())).sum()


def test_every_net_is_tested() -> None:
    assert {type(make()) for make in NETS.values()} == set(classes_of(aeanomaly.models, Autoencoder))


@every_net
def test_gradients_reach_every_parameter(name: str) -> None:
    net, images = net_and_images(name)
    loss(net, images).backward()
    trained = [(key, p.grad) for key, p in net.named_parameters() if p.requires_grad]
    assert [key for key, gradient in trained if gradient is None or not gradient.abs().max() > 1e-9] == []


@pytest.mark.parametrize("name", [name for name in NETS if name != "Untrained"])  # which draws one image for all
def test_it_overfits_one_batch(name: str) -> None:
    net, images = net_and_images(name)
    optimizer = torch.optim.Adam(net.parameters(), 0.005)
    before = net.training_loss(images)[0]
    for _ in range(200):
        optimizer.zero_grad()
        loss(net, images).backward()
        optimizer.step()
    after = net.training_loss(images)[0]
    # Other terms may rise: the Kullback-Leibler divergence starts near 0.
    assert all(after[term] < 0.9 * before[term] for term in before if term in ("reconstruction", "contrastive"))
    output = net.eval()(images)
    remaining = (output.reconstruction - output.target).square().mean()
    assert remaining < 0.1 * output.target.var(0, correction=0).mean()  # one image for all would leave all of it


@every_net
def test_it_comes_back_from_a_checkpoint(name: str) -> None:
    net, images = net_and_images(name)
    net(images)  # moves the statistics of batch normalisation
    stream = io.BytesIO()
    torch.save(net.state_dict(), stream)
    stream.seek(0)
    fresh = NETS[name]()
    fresh.load_state_dict(torch.load(stream, weights_only=True))
    found, expected = fresh.eval()(images).tensors(), net.eval()(images).tensors()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@every_net
def test_half_precision_gives_nearly_the_same(name: str) -> None:
    net, images = net_and_images(name)
    expected = net.eval()(images).tensors()
    with torch.autocast("cpu", torch.bfloat16):
        found = net(images).float().tensors()
        assert torch.isfinite(loss(net, images))
    for key, value in expected.items():
        # The mean, because a memory's weight that lies at the threshold may come out on the other side of it.
        assert (found[key] - value).abs().mean() < 0.02 * value.abs().mean() + 1e-3, key


@every_net
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float64])
def test_it_trains_with_weights_of_another_precision(name: str, precision: torch.dtype) -> None:
    """As with `trainer.precision: bf16-true` or `64-true`, which convert the module and its images."""
    net, images = net_and_images(name)
    net, images = net.to(precision), images.to(precision)
    total = loss(net, images)
    total.backward()
    assert torch.isfinite(total)
    gradients = [p.grad for p in net.parameters() if p.requires_grad]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)
    assert torch.isfinite(net.eval()(images).reconstruction.float()).all()


@every_net
def test_what_is_random_follows_the_seed_and_evaluation_is_not_random(name: str) -> None:
    net, images = net_and_images(name)

    def drawn(seed: int) -> list[float]:
        torch.manual_seed(seed)
        with torch.no_grad():
            return [float(loss(net, images)) for _ in range(3)]

    losses = drawn(1)
    assert drawn(1) == losses
    assert len(set(losses)) == (3 if name in RANDOM else 1)
    assert (drawn(2) == losses) == (name not in RANDOM)
    net.eval()
    state = torch.get_rng_state()
    one, two = net(images).tensors(), net(images).tensors()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert torch.equal(torch.get_rng_state(), state)


@every_net
def test_validation_scores_the_output_that_a_test_would(name: str) -> None:
    net, images = net_and_images(name)
    net.eval()
    found, expected = net.training_loss(images)[1].tensors(), net(images).tensors()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert torch.equal(net.encode(images), expected["code"])
    assert torch.allclose(net.decode(expected["code"]), expected["reconstruction"])
    assert torch.equal(expected["target"], images) or expected["target"].shape != images.shape  # features of it


@every_net
def test_every_image_is_seen_alone(name: str) -> None:
    net, images = net_and_images(name)
    whole = net.eval()(images).tensors()
    assert all(len(value) == len(images) for value in whole.values())
    alone = net(images[3:4]).tensors()
    assert all(torch.allclose(alone[key], value[3:4], rtol=1e-4, atol=1e-5) for key, value in whole.items())


@pytest.mark.parametrize("name", ["dense", "convolutional", "variational", "denoising", "memory", "contrastive"])
def test_inner_layers_are_offered_to_scores(name: str) -> None:
    net, images = net_and_images(name)
    assert {"features.layer1", "features.layer2"} <= net(images).tensors().keys()


@every_net
def test_a_checkpoint_can_describe_it(name: str) -> None:
    assert describe(NETS[name]())["class_path"].startswith("aeanomaly.models.")
