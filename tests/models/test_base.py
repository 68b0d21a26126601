"""What every autoencoder inherits: a loss in named terms, and parts that stay as they are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aeanomaly.models.base import Autoencoder
from aeanomaly.models.dense import DenseAutoencoder


class WithFrontEnd(Autoencoder):
    """Reconstructs fixed features of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.front_end = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, 6))
        self.encoder, self.decoder = nn.Linear(6, 2), nn.Linear(2, 6)
        self.freeze("front_end")

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(self.front_end(x))

    def decode(self, code: Tensor) -> Tensor:
        return self.decoder(code)

    def target(self, x: Tensor) -> Tensor:
        return self.front_end(x)


def test_the_loss_is_the_mean_squared_error_and_comes_with_the_output() -> None:
    net, images = DenseAutoencoder((1, 4, 4), (8,), 2), torch.rand(5, 1, 4, 4)
    terms, output = net.training_loss(images)
    assert list(terms) == ["reconstruction"]
    assert torch.allclose(terms["reconstruction"], (net(images).reconstruction - images).square().mean())
    assert torch.equal(output.code, net(images).code)


def test_a_frozen_part_is_not_trained_and_stays_in_evaluation_mode() -> None:
    net = WithFrontEnd().train()
    assert net.encoder.training
    assert not any(module.training for module in net.front_end.modules())
    assert {name.split(".")[0] for name, p in net.named_parameters() if p.requires_grad} == {"encoder", "decoder"}
    before = net.front_end[1].running_mean.clone()
    net(torch.rand(8, 1, 4, 4) + 3)
    assert torch.equal(net.front_end[1].running_mean, before)


def test_a_frozen_part_is_kept_in_checkpoints() -> None:
    assert any("front_end" in name for name in WithFrontEnd().state_dict())
