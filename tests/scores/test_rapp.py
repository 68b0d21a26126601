"""RaPP's scores against the paper's formulas in numpy, and through a net that offers inner activations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aeanomaly.errors import UserError
from aeanomaly.evaluation.detector import Detector
from aeanomaly.models.base import Autoencoder
from aeanomaly.outputs import Output
from aeanomaly.scores.rapp import NAP, SAP
from tests.scores.parts import assert_survives_a_checkpoint, assert_the_same_in_pieces

LAYERS = ("features.first", "features.second", "code")


class Toy(Autoencoder):
    """Two layers, the first with places."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first, self.second = nn.Conv2d(1, 3, 3), nn.Linear(3 * 16, 7)
            self.last, self.back = nn.Linear(7, 4), nn.Linear(4, 36)

    def encode(self, x: Tensor) -> Tensor:
        return self.pathway(x)[-1]

    def pathway(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first = self.first(x).relu()
        second = self.second(first.flatten(1)).tanh()
        return first, second, self.last(second)

    def decode(self, code: Tensor) -> Tensor:
        return self.back(code).sigmoid().view(-1, 1, 6, 6)

    def forward(self, x: Tensor) -> Output:
        first, second, code = self.pathway(x)
        return Output(code, self.decode(code), x, {"first": first, "second": second})


def pictures(count: int = 200, seed: int = 0) -> Tensor:
    return torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def complete(images: Tensor, *scores: SAP) -> Output:
    """The net's output as the scores get it, in an evaluation as in a fit."""
    net = Toy()
    return Detector(net, {f"score{i}": score for i, score in enumerate(scores)}, {}).complete(net(images))


@torch.no_grad()
def expected_differences(images: Tensor) -> np.ndarray:
    """h(x) - h(x') for the input and the three layers, computed layer by layer from the net's own parts."""
    net = Toy()
    again = net.decode(net.encode(images))
    pairs = [(images, again), *zip(net.pathway(images), net.pathway(again), strict=True)]
    return np.concatenate([(one - other).flatten(1).double().numpy() for one, other in pairs], 1)


def test_sap_sums_the_squared_differences_over_input_and_layers() -> None:
    score, images = SAP(LAYERS), pictures()
    found = score.score(complete(images, score).only(score.reads))
    np.testing.assert_allclose(found, (expected_differences(images) ** 2).sum(1), rtol=1e-5)


def test_of_code_alone_sap_adds_its_difference_to_the_squared_error() -> None:
    score, images = SAP(), pictures()
    output = complete(images, score)
    assert output.again is not None
    expected = (output.target - output.reconstruction).square().sum((1, 2, 3))
    expected = expected + (output.code - output.again.code).square().sum(1)
    assert torch.allclose(score(output), expected)


def paper(train: np.ndarray, new: np.ndarray, tolerance: float = 1e-5) -> np.ndarray:
    """|(d - mean)' V / S|^2 by a singular value decomposition of the centred N x D training differences."""
    mean = train.mean(0)
    _, values, directions = np.linalg.svd(train - mean, full_matrices=False)
    kept = values > tolerance * values[0]
    return (((new - mean) @ directions[kept].T / values[kept]) ** 2).sum(1)


@pytest.mark.parametrize("count", [400, 60])
def test_nap_is_the_papers(count: int) -> None:
    """With fewer images (60) than differences (95) too."""
    score, images, new = NAP(LAYERS), pictures(count), pictures(20, seed=1)
    score.fit(complete(images, score).only(score.reads))
    found = score.score(complete(new, score).only(score.reads))
    train, unseen = expected_differences(images), expected_differences(new)
    assert train.shape == (count, 36 + 48 + 7 + 4)
    np.testing.assert_allclose(found, paper(train, unseen), rtol=1e-3)
    assert np.corrcoef(found, (unseen**2).sum(1))[0, 1] < 0.9  # and not SAP once more


def test_what_is_fitted_in_pieces_is_fitted_on_all(monkeypatch: pytest.MonkeyPatch) -> None:
    images, new = pictures(), pictures(20, seed=1)
    whole, pieces = NAP(LAYERS), NAP(LAYERS)
    output = complete(images, whole)
    whole.fit(output)
    monkeypatch.setattr("aeanomaly.scores.rapp._IMAGES_AT_ONCE", 33)
    pieces.fit(output)
    np.testing.assert_allclose(pieces(complete(new, pieces)), whole(complete(new, whole)), rtol=1e-3)


def by_hand(target: Tensor, code: Tensor | None = None) -> Output:
    zero = torch.zeros_like(target)
    code = torch.zeros(len(target), 1) if code is None else code
    return Output.from_tensors({"target": target, "reconstruction": zero, "code": code, "again.code": 0 * code})


def test_nap_is_blind_to_the_scale_of_a_layer() -> None:
    generator = torch.Generator().manual_seed(0)
    target, code = (torch.randn(100, size, generator=generator) for size in (4, 3))
    first, second = NAP(), NAP()
    first.fit(by_hand(target, code))
    second.fit(by_hand(target, 100 * code))
    np.testing.assert_allclose(first(by_hand(target, code)), second(by_hand(target, 100 * code)), rtol=1e-3)


def test_directions_in_which_normal_images_do_not_differ_are_dropped() -> None:
    """A pixel that is constant but for rounding must not decide; above the tolerance it does."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(100, 4, generator=generator)
    target[:, 3] *= 1e-7
    strict, loose = NAP(tolerance=1e-9), NAP()
    odd = torch.tensor([[0.0, 0.0, 0.0, 0.01]])
    for score, rank in ((strict, 4), (loose, 3)):
        score.fit(by_hand(target))
        assert score.whitening.shape == (5, rank)
    assert strict(by_hand(odd)).item() > 1e4
    assert loose(by_hand(odd)).item() < 1


@pytest.mark.parametrize("score", [SAP(LAYERS), NAP(LAYERS)], ids=["sap", "nap"])
@torch.no_grad()
def test_the_detector_makes_what_they_read(score: SAP) -> None:
    net, images = Toy(), pictures(30)
    if score.fitted_on:
        score.fit(complete(pictures(), score).only(score.reads))
    found = Detector(net, {"rapp": score}, {})(images)["rapp"].score
    assert torch.equal(found, score.score(complete(images, score)))
    assert set(score.reads) == {"reconstruction", "target", *LAYERS, *(f"again.{layer}" for layer in LAYERS)}


def test_a_layer_that_the_net_does_not_offer_is_named() -> None:
    score = SAP(["features.third"])
    with pytest.raises(AttributeError, match=r"'features.third'.*the net offers \['features.first'"):
        complete(pictures(5), score).only(score.reads)


@pytest.mark.parametrize("layers", [[], ["layer1"], ["target"], ["again.code"], ["reconstruction", "code"]])
@pytest.mark.parametrize("kind", [SAP, NAP])
def test_what_is_no_layer_is_refused(kind: type[SAP], layers: list[str]) -> None:
    with pytest.raises(UserError, match=rf"{kind.__name__} (cannot read|compares the encoder's layers)"):
        kind(layers)


@pytest.mark.parametrize("tolerance", [0.0, 1.0, float("nan")])
def test_a_tolerance_that_is_no_share_is_refused(tolerance: float) -> None:
    with pytest.raises(UserError, match="between 0 and 1"):
        NAP(tolerance=tolerance)


def test_what_cannot_be_learned_from_is_refused() -> None:
    target = torch.rand(10, 4)
    target[3, 1] = float("nan")
    for wrong, message in (
        (torch.zeros(0, 4), "there is no normal training image, at least 2 needed"),
        (torch.ones(1, 4), "there is only 1 normal training image, at least 2 needed"),
        (torch.ones(10, 4) / 3, "the same in every normal image"),
        (target, "are not finite"),
    ):
        with pytest.raises(UserError, match=message):
            NAP().fit(by_hand(wrong))


def test_state_and_pieces() -> None:
    score = NAP(LAYERS)
    score.fit(complete(pictures(), score))
    new = complete(pictures(40, seed=1), score)
    assert_survives_a_checkpoint(score, NAP(LAYERS), new)
    assert_the_same_in_pieces(score, new)
    assert_the_same_in_pieces(SAP(LAYERS), new)
