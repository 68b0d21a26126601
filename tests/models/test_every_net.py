"""What holds for every net of the package: it learns, comes back from a checkpoint, and draws as it is seeded."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from aeanomaly.models.base import Autoencoder
from aeanomaly.models.convolutional import ConvolutionalAutoencoder
from aeanomaly.models.corruptions import GaussianNoise
from aeanomaly.models.denoising import DenoisingAutoencoder
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.models.memory import MemoryAutoencoder
from aeanomaly.models.variational import VariationalAutoencoder
from aeanomaly.training.description import describe

SHAPE = (2, 9, 10)


def dense(code_size: int = 8) -> DenseAutoencoder:
    return DenseAutoencoder(SHAPE, (40, 20), code_size)


def convolutional(code_size: int | None = 8, residual_blocks: int = 0, batch_norm: bool = True) -> Autoencoder:
    return ConvolutionalAutoencoder(SHAPE, (8, 16), code_size, residual_blocks, batch_norm)


def variational() -> Autoencoder:
    return VariationalAutoencoder(dense(20), 8, likelihood="gaussian", deviation=0.1)


NETS: dict[str, Callable[[], Autoencoder]] = {
    "dense": dense,
    "convolutional": convolutional,
    "residual": lambda: convolutional(None, 1),
    "without batch norm": lambda: convolutional(8, 1, False),
    "variational": variational,
    "variational convolutional": lambda: VariationalAutoencoder(convolutional(None), 8, activation=nn.ReLU),
    "denoising": lambda: DenoisingAutoencoder(dense(), GaussianNoise(0.1)),
    "denoising variational": lambda: DenoisingAutoencoder(variational(), GaussianNoise(0.1)),
    "memory": lambda: MemoryAutoencoder(dense(), 50),
    "memory convolutional": lambda: MemoryAutoencoder(convolutional(None), 50),
}
RANDOM = [name for name in NETS if "variational" in name or "denoising" in name]
every_net = pytest.mark.parametrize("name", NETS)


def net_and_images(name: str) -> tuple[Autoencoder, Tensor]:
    torch.manual_seed(0)
    smooth = nn.functional.interpolate(torch.rand(6, 2, 3, 3), SHAPE[1:], mode="bilinear")
    return NETS[name](), smooth


def loss(net: Autoencoder, images: Tensor) -> Tensor:
    return torch.stack(list(net.training_loss(images)[0].values())).sum()


@every_net
def test_gradients_reach_every_parameter(name: str) -> None:
    net, images = net_and_images(name)
    loss(net, images).backward()
    without = [key for key, p in net.named_parameters() if p.grad is None or not p.grad.abs().max() > 1e-9]
    assert without == []


@every_net
def test_it_overfits_one_batch(name: str) -> None:
    net, images = net_and_images(name)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(150):
        optimizer.zero_grad()
        loss(net, images).backward()
        optimizer.step()
    remaining = (net.eval()(images).reconstruction - images).square().mean()
    assert remaining < 0.4 * images.var(0, correction=0).mean()  # one image for all would leave all of it


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
    assert torch.equal(loss(net, images), loss(net, images))
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
    assert torch.equal(expected["target"], images)


@every_net
def test_every_image_is_seen_alone(name: str) -> None:
    net, images = net_and_images(name)
    whole = net.eval()(images).tensors()
    assert all(len(value) == len(images) for value in whole.values())
    alone = net(images[3:4]).tensors()
    assert all(torch.allclose(alone[key], value[3:4], rtol=1e-4, atol=1e-5) for key, value in whole.items())
    assert {"features.layer1", "features.layer2"} <= whole.keys()


@every_net
def test_a_checkpoint_can_describe_it(name: str) -> None:
    assert describe(NETS[name]())["class_path"].startswith("aeanomaly.models.")
