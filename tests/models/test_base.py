"""What every autoencoder inherits: a loss in named terms, and parts that stay as they are."""

from __future__ import annotations

import io

import torch
from torch import Tensor, nn

from aeanomaly.models.base import Autoencoder
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.outputs import Output


class WithFrontEnd(Autoencoder):
    """Reconstructs fixed features of the image.

    Args:
        saved: whether the front end is kept in checkpoints.
    """

    def __init__(self, saved: bool = False) -> None:
        super().__init__()
        self.front_end = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, 6))
        self.encoder, self.decoder = nn.Linear(6, 2), nn.Linear(2, 6)
        self.freeze("front_end", saved=saved)

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(self.front_end(x))

    def decode(self, code: Tensor) -> Tensor:
        return self.decoder(code)

    def forward(self, x: Tensor) -> Output:
        features = self.front_end(x)
        code = self.encoder(features)
        return Output(code, self.decoder(code), features)


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


def test_a_part_that_can_be_rebuilt_is_left_out_of_checkpoints() -> None:
    trained, stream = nn.ModuleDict({"net": WithFrontEnd()}), io.BytesIO()
    torch.save(trained.state_dict(), stream)
    stream.seek(0)
    state = torch.load(stream, weights_only=True)
    assert not any("front_end" in name for name in state)
    fresh = nn.ModuleDict({"net": WithFrontEnd()})
    own = fresh["net"].front_end[2].weight.clone()
    fresh.load_state_dict(state)  # strict
    assert torch.equal(fresh["net"].encoder.weight, trained["net"].encoder.weight)
    assert torch.equal(fresh["net"].front_end[2].weight, own)


def test_a_frozen_part_is_kept_if_asked() -> None:
    assert any("front_end" in name for name in WithFrontEnd(saved=True).state_dict())
