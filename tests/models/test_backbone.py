"""Features of a classifier against torchvision called directly, its weights fixed, found and kept."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from aeanomaly.errors import UserError
from aeanomaly.models.backbone import Backbone
from aeanomaly.models.contrastive import ContrastiveAutoencoder
from aeanomaly.models.feature_reconstruction import FeatureAutoencoder
from aeanomaly.training.description import describe

LAYERS = ("layer1", "layer2")


def images(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as torchvision's downloads are, with statistics of batches that differ from those of a new net."""
    torch.manual_seed(5)
    classifier = torchvision.models.resnet18().train()
    classifier(images(4, 3, 32, 32) + 2)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(classifier.state_dict(), path)
    return path


def backbone(weights: Path | str | None = None, **options: object) -> Backbone:
    return Backbone(**{"layers": LAYERS, "weights": weights and str(weights), "grid": 4, **options})  # type: ignore[arg-type]


def by_hand(weights: Path, x: Tensor) -> list[Tensor]:
    """The maps of the two layers, the classifier's parts called one after the other."""
    net = torchvision.models.resnet18().eval()
    net.load_state_dict(torch.load(weights, weights_only=True))
    x = torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])(x)
    with torch.no_grad():
        first = net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(x)))))
        return [first, net.layer2(first)]


def test_features_are_the_maps_of_the_classifier_on_one_grid(weights: Path) -> None:
    x = images(2, 3, 32, 32)
    fine, coarse = by_hand(weights, x)  # 8x8 and 4x4
    found = backbone(weights)(x)
    assert found.shape == (2, 192, 4, 4)
    torch.testing.assert_close(found[:, 64:], coarse)
    # Half the side: a place is a triangle of 4 pixels along each side, whole in the inner places.
    rows = torch.zeros(2, 8)
    rows[0, 1:5] = rows[1, 3:7] = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    torch.testing.assert_close(found[:, :64, 1:3, 1:3], rows @ fine @ rows.T)


def test_grey_is_every_colour_and_images_are_resized_if_asked(weights: Path) -> None:
    grey, front = images(2, 1, 20, 24), backbone(weights)
    assert torch.equal(front(grey), front(grey.repeat(1, 3, 1, 1)))
    larger = torchvision.transforms.functional.resize(grey, [48, 48], antialias=True)
    torch.testing.assert_close(backbone(weights, size=48)(grey), front(larger))


@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (2, 3, 28, 28), (1, 3, 65, 130)])
def test_any_size_gives_the_same_features(shape: tuple[int, ...]) -> None:
    front = backbone()
    assert front(images(*shape)).shape == (shape[0], front.channels, front.grid, front.grid) == (shape[0], 192, 4, 4)


@pytest.mark.parametrize("kind", [FeatureAutoencoder, ContrastiveAutoencoder])
def test_a_fit_leaves_it_as_it_is(kind: type[FeatureAutoencoder], weights: Path) -> None:
    net = kind(backbone(weights), channels=(8, 8), hidden=16, code_size=4).train()
    before = {name: value.clone() for name, value in net.front.state_dict().items()}
    optimizer = torch.optim.AdamW(net.parameters(), 0.01, weight_decay=0.1)
    for _ in range(2):
        terms, _output = net.training_loss(images(6, 1, 16, 16) * 3)
        sum(terms.values(), torch.zeros(())).backward()
        optimizer.step()
    after = net.front.state_dict()
    assert any("running_mean" in name for name in after)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(p.grad is None for p in net.front.parameters())
    assert net.layer1.training
    assert all((p.grad is not None) == p.requires_grad for p in net.parameters())


def test_it_stays_in_evaluation_mode_by_itself() -> None:
    front = nn.Sequential(backbone()).train()[0]
    assert front.training
    assert not any(module.training for module in front.net.modules())
    assert not any(p.requires_grad for p in front.parameters())


def test_a_checkpoint_is_loaded_where_the_file_is_gone(weights: Path) -> None:
    net, stream = FeatureAutoencoder(backbone(weights), channels=(8, 8), hidden=16, code_size=4), io.BytesIO()
    torch.save(net.state_dict(), stream)
    stream.seek(0)
    fresh = FeatureAutoencoder(backbone("gone.pth"), channels=(8, 8), hidden=16, code_size=4)
    with pytest.raises(UserError, match=r"there is no file of weights 'gone\.pth'"):
        fresh(images(2, 1, 16, 16))
    fresh.load_state_dict(torch.load(stream, weights_only=True))
    found, expected = fresh.eval()(images(2, 1, 16, 16)).tensors(), net.eval()(images(2, 1, 16, 16)).tensors()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_a_checkpoint_can_say_how_it_is_made() -> None:
    made = describe(backbone("some.pth"))
    assert made["init_args"] == {"layers": list(LAYERS), "weights": "some.pth", "grid": 4}


def test_mistakes_are_named() -> None:
    for options, says in (
        ({"name": "resnet81"}, "did you mean 'resnet18'"),
        ({"layers": ["layer9"]}, "no layer 'layer9': did you mean 'layer[1-4]'"),
        ({"layers": ["flatten"]}, r"\['flatten'\] of resnet18 are no maps"),
        ({"layers": []}, "needs a layer"),
        ({"grid": 0}, "grid=0"),
        ({"size": 0}, "size=0"),
    ):
        with pytest.raises(UserError, match=says):
            backbone(**options)
    with pytest.raises(UserError, match="1 or 3 channels, got 2"):
        backbone()(images(1, 2, 16, 16))


def test_a_file_that_does_not_fit_is_named(tmp_path: Path) -> None:
    other, damaged = tmp_path / "other.pth", tmp_path / "damaged.pth"
    torch.save(nn.Linear(2, 2).state_dict(), other)
    damaged.write_bytes(b"no weights")
    for path in (other, damaged):
        with pytest.raises(UserError, match="is no state dict of a whole ResNet"):
            backbone(path)


def test_a_layer_is_not_changed_by_the_activation_after_it() -> None:
    found = Backbone("vgg11", ["features.0", "features.1"], grid=4, size=32)(images(1, 3, 32, 32))
    assert found[:, :64].min() < 0
    assert found[:, 64:].min() >= 0


def test_what_is_no_map_and_what_is_too_small_is_named() -> None:
    with pytest.raises(UserError, match=r"\['features.1'\] of swin_t are no maps"):
        Backbone("swin_t", ["features.1"])
    with pytest.raises(UserError, match=r"images of \[8, 8\] pixels are too small; set `size`"):
        Backbone("alexnet", ["features.5"], size=8)
