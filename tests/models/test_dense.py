"""The dense net's layers, and that offering them changes no number."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.outputs import Output


class WithoutLayers(DenseAutoencoder):
    """Encodes by the stack of layers as a whole."""

    def forward(self, x: Tensor) -> Output:
        code = self.encoder(x)
        return Output(code, self.decoder(code), x)


def test_the_layers_are_the_activations_of_the_encoder() -> None:
    net, images = DenseAutoencoder((1, 4, 4), (8, 6, 4), 2, nn.ReLU), torch.rand(5, 1, 4, 4)
    features = net(images).features
    assert list(features) == ["layer1", "layer2", "layer3"]
    inner = images.flatten(1)
    linear = [layer for layer in net.encoder if isinstance(layer, nn.Linear)]
    for layer, found in zip(linear, features.values(), strict=False):
        inner = (inner @ layer.weight.T + layer.bias).clamp(min=0)
        assert torch.allclose(found, inner, atol=1e-6)


def test_a_net_without_hidden_layers_offers_none() -> None:
    assert DenseAutoencoder((1, 4, 4), (), 2)(torch.rand(5, 1, 4, 4)).features == {}


def test_training_is_the_same_bit_for_bit_as_without_layers() -> None:
    weights = []
    for kind in (DenseAutoencoder, WithoutLayers):
        torch.manual_seed(9)
        net = kind((1, 6, 6), (20, 10), 3)
        optimizer = torch.optim.Adam(net.parameters(), 0.01)
        for _ in range(20):
            images = torch.rand(16, 1, 6, 6)
            optimizer.zero_grad()
            functional.mse_loss(net(images).reconstruction, images).backward()
            optimizer.step()
        weights.append(torch.cat([p.flatten() for p in net.parameters()]))
    assert torch.equal(*weights)


def test_the_encoder_runs_once() -> None:
    net, calls = DenseAutoencoder((1, 4, 4), (8,), 2), []
    for layer in net.encoder:
        layer.register_forward_hook(lambda layer, *_: calls.append(layer))
    net.training_loss(torch.rand(5, 1, 4, 4))
    assert len(calls) == len(net.encoder)
