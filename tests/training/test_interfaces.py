"""What nets of other kinds may do: noise, spatial codes, inner activations."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from aeanomaly.models.base import Autoencoder
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.outputs import Output
from aeanomaly.scores.base import Score
from aeanomaly.scores.kmeans import KMeans
from aeanomaly.scores.reconstruction import ReconstructionError
from aeanomaly.training.module import LitAutoencoder, _fixed_seed
from tests.training.test_python_use import make_data, make_trainer


class NoisyAutoencoder(DenseAutoencoder):
    """Draws random numbers in its loss, as a denoising net does."""

    def training_loss(self, x: Tensor) -> tuple[dict[str, Tensor], Output]:
        terms, _ = super().training_loss(x + 0.5 * torch.randn_like(x))
        return terms, self(x)


def test_the_validation_loss_of_a_noisy_net_is_the_same_each_time() -> None:
    torch.manual_seed(0)
    module, data = LitAutoencoder(NoisyAutoencoder((1, 8, 8), (24,), 3)), make_data()
    first = make_trainer().validate(module, data, verbose=False)[0]["val/loss"]
    second = make_trainer().validate(module, data, verbose=False)[0]["val/loss"]
    assert first == second


def test_training_goes_on_with_its_own_random_numbers() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with _fixed_seed(7, torch.device("cpu")):
        torch.rand(5)
    assert torch.equal(torch.rand(3), expected)


class ConvAutoencoder(Autoencoder):
    """A code of 2x4x4 numbers, and the activations of its first layer for scores."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU())
        self.second = nn.Conv2d(4, 2, 3, stride=2, padding=1)
        self.back = nn.Sequential(nn.ConvTranspose2d(2, 1, 2, stride=2), nn.Sigmoid())

    def encode(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))

    def decode(self, code: Tensor) -> Tensor:
        return self.back(code)

    def forward(self, x: Tensor) -> Output:
        layer1 = self.first(x)
        code = self.second(layer1)
        return Output(code, self.back(code), x, {"layer1": layer1})


class PathDistance(Score):
    """Distance of the first activation for the image from that for its reconstruction (RaPP's SAP, of one layer)."""

    reads = ("features.layer1", "again.features.layer1")

    def forward(self, output: Output) -> Tensor:
        assert output.again is not None
        difference = output.features["layer1"] - output.again.features["layer1"]
        return difference.square().flatten(1).sum(1)

    def map(self, output: Output) -> Tensor:
        assert output.again is not None
        return (output.features["layer1"] - output.again.features["layer1"]).square().sum(1)


def test_spatial_codes_and_activations_of_the_reconstruction(tmp_path: Path) -> None:
    scores: dict[str, Score] = {"reconstruction": ReconstructionError(), "kmeans": KMeans(3), "pathway": PathDistance()}
    module, trainer = LitAutoencoder(ConvAutoencoder(), scores), make_trainer(max_epochs=1)
    trainer.fit(module, make_data())
    (metrics,) = trainer.test(module, make_data(), verbose=False)
    assert {"test/auroc/kmeans", "test/auroc/pathway"} <= metrics.keys()
    kmeans = module.detector.score_modules["kmeans"]
    assert isinstance(kmeans, KMeans)
    assert kmeans.centres.shape == (3, 32)
    images = torch.rand(5, 1, 8, 8)
    with torch.no_grad():
        judged = module.detector.eval()(images)
        output = module.detector.complete(module.net(images))
    places = scores["pathway"].map(output)
    assert places is not None
    assert places.shape == (5, 8, 8)
    assert torch.allclose(judged["pathway"].score, places.sum((1, 2)), atol=1e-5)
