"""The net over features: its loss by formula, views in training only, and that it learns."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aeanomaly.errors import UserError
from aeanomaly.evaluation.detector import Detector
from aeanomaly.models.backbone import Backbone
from aeanomaly.models.corruptions import Cutout
from aeanomaly.models.denoising import DenoisingAutoencoder
from aeanomaly.models.feature_reconstruction import FeatureAutoencoder
from aeanomaly.models.oriented_gradients import OrientedGradients
from aeanomaly.models.views import Gain
from aeanomaly.scores.rapp import SAP
from aeanomaly.scores.reconstruction import ReconstructionError
from aeanomaly.training.description import describe

FRONTS = {
    "gradients": lambda: OrientedGradients(scales=[1], grid=5),
    "backbone": lambda: Backbone(layers=["layer1"], grid=5),
}
every_front = pytest.mark.parametrize("front", FRONTS)


def small(front: str = "gradients", **options: Any) -> FeatureAutoencoder:
    torch.manual_seed(0)
    return FeatureAutoencoder(FRONTS[front](), **{"channels": (8, 8), "hidden": 32, "code_size": 6, **options})


def images(count: int = 16, *shape: int) -> Tensor:
    return torch.rand(count, *(shape or (1, 16, 16)), generator=torch.Generator().manual_seed(1))


class Halved(nn.Module):
    """Not random, so that the loss can be computed by hand."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.linspace(0, 1, x.shape[-1])


@every_front
def test_the_features_of_the_clean_image_are_restored_from_those_of_the_view(front: str) -> None:
    net = small(front, views=[Halved()])
    terms, output = net.training_loss(images())
    assert list(terms) == ["reconstruction"]
    with torch.no_grad():
        clean = net.front(images()).flatten(1)
        restored = net.decode(net.encode(Halved()(images()))).flatten(1)
    expected = 1 - torch.cosine_similarity(restored, clean).mean()
    assert float(terms["reconstruction"].detach()) == pytest.approx(float(expected), rel=1e-4)
    torch.testing.assert_close(output.target.flatten(1), clean / clean.norm(dim=1, keepdim=True))


def test_evaluation_sees_images_as_they_are() -> None:
    net = small(views=[Halved()]).eval()
    terms, output = net.training_loss(images())
    expected = net(images())
    assert all(torch.equal(value, expected.tensors()[name]) for name, value in output.tensors().items())
    error = ReconstructionError()(expected)
    assert error.mean().item() == pytest.approx(2 * terms["reconstruction"].item(), rel=1e-4)


@every_front
def test_what_scores_may_read_has_the_shapes_that_are_told(front: str) -> None:
    net = small(front).eval()
    for colours in (1, 3):
        output = net(images(7, colours, 20, 24))
        features = net.front.channels
        assert {name: tuple(tensor.shape) for name, tensor in output.tensors().items()} == {
            "code": (7, 6),
            "reconstruction": (7, features, 5, 5),
            "target": (7, features, 5, 5),
            "features.grid": (7, features, 5, 5),
            "features.pooled": (7, features),
            "features.layer1": (7, 72),
            "features.layer2": (7, 32),
        }
        assert torch.equal(output.code, net.encode(images(7, colours, 20, 24)))
        assert torch.equal(output.features["grid"], net.front(images(7, colours, 20, 24)))  # not of length 1


def test_errors_of_features_have_places_that_add_up() -> None:
    output = small().eval()(images(7))
    places = ReconstructionError().map(output)
    assert places is not None
    assert places.shape == (7, 5, 5)
    torch.testing.assert_close(places.sum((1, 2)), ReconstructionError()(output))


@pytest.mark.parametrize("wrapped", [False, True])
def test_scores_may_ask_what_it_makes_of_its_reconstruction(wrapped: bool) -> None:
    inner, x = small("backbone").eval(), images(4)
    net = DenoisingAutoencoder(inner, Cutout()).eval() if wrapped else inner
    output = inner(x)
    again = inner.layer2(inner.layer1(20 * output.reconstruction))
    expected = (output.target - output.reconstruction).square().flatten(1).sum(1)
    expected = expected + (output.features["layer2"] - again).square().sum(1)
    found = Detector(net, {"sap": SAP(["features.layer2"])}, {}).complete(net(x))
    torch.testing.assert_close(SAP(["features.layer2"])(found), expected, rtol=1e-4, atol=1e-5)


@every_front
def test_gradients_reach_every_parameter_that_is_trained(front: str) -> None:
    net = small(front, views=[Gain(0.1)])
    net.training_loss(images())[0]["reconstruction"].backward()
    for name, parameter in net.named_parameters():
        assert parameter.requires_grad == (not name.startswith("front."))
        assert (parameter.grad is None) if name.startswith("front.") else parameter.grad.abs().max() > 0, name


@every_front
def test_it_overfits_one_batch(front: str) -> None:
    net, x, losses = small(front, views=[Gain(0.1)]), images(), []
    optimizer = torch.optim.AdamW(net.parameters(), 5e-3)
    for _ in range(400):
        loss = net.training_loss(x)[0]["reconstruction"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    targets = net.target(x).flatten(1)
    one_for_all = 1 - torch.cosine_similarity(targets, targets.mean(0, keepdim=True)).mean()
    assert losses[-1] < 0.2 * float(one_for_all)


def test_it_comes_back_from_a_checkpoint() -> None:
    net, stream = small(), io.BytesIO()
    net.training_loss(images())  # moves the running statistics
    torch.save(net.state_dict(), stream)
    stream.seek(0)
    fresh = small()
    nn.init.zeros_(fresh.to_code.weight)
    fresh.load_state_dict(torch.load(stream, weights_only=True))
    assert torch.equal(net.eval()(images()).code, fresh.eval()(images()).code)


def test_a_checkpoint_can_say_how_it_is_made() -> None:
    made = describe(small(views=[Cutout()]))
    assert made["class_path"] == "aeanomaly.models.feature_reconstruction.FeatureAutoencoder"
    assert made["init_args"]["views"] == [{"class_path": "aeanomaly.models.corruptions.Cutout", "init_args": {}}]


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="code_size=0"):
        small(code_size=0)


def test_a_last_batch_of_one_image_trains() -> None:
    net = FeatureAutoencoder(OrientedGradients(scales=[1], grid=4), None, (8, 8), 16, 4).train()
    terms, _ = net.training_loss(torch.rand(1, 1, 8, 8))
    assert torch.isfinite(terms["reconstruction"])
