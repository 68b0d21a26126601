"""Maps of every score that gives one: where an anomaly is, and what they have to do with the score."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from aeanomaly.data.sources.digits import Digits
from aeanomaly.errors import UserError
from aeanomaly.evaluation.detector import Detector
from aeanomaly.models.base import Autoencoder
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.models.feature_reconstruction import FeatureAutoencoder
from aeanomaly.models.oriented_gradients import OrientedGradients
from aeanomaly.outputs import Output
from aeanomaly.scores.base import Score
from aeanomaly.scores.kmeans import KMeans
from aeanomaly.scores.patch_knn import PatchKNN
from aeanomaly.scores.pixel_errors import AbsoluteError, RelativeError, TopPixels
from aeanomaly.scores.reconstruction import ReconstructionError
from aeanomaly.scores.structural_dissimilarity import StructuralDissimilarity

OF_PIXELS: dict[str, Score] = {
    "reconstruction": ReconstructionError(),
    "absolute": AbsoluteError(),
    "relative": RelativeError(),
    "top": TopPixels(),
    "ssim": StructuralDissimilarity(sigma=0.8),
    "kmeans": KMeans(4),
}
OF_FEATURES: dict[str, Score] = {
    "reconstruction": ReconstructionError(),
    "absolute": AbsoluteError(),
    "patches": PatchKNN(top=3),
}
CORNERS = {"upper left": (0, 0), "upper right": (0, 1), "lower left": (1, 0), "lower right": (1, 1)}


def trained(net: Autoencoder, scores: dict[str, Score], steps: int) -> tuple[Detector, Tensor]:
    """A detector fitted on digits 1 to 9, and other such digits as uint8."""
    arrays = Digits(anomaly_classes=[0]).load()
    normal = arrays.train_images[arrays.train_labels != 0][:400].float() / 255
    optimizer = torch.optim.Adam(net.parameters(), 0.005)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.stack(list(net.training_loss(normal)[0].values())).sum().backward()
        optimizer.step()
    detector = Detector(net, scores, {}).eval()
    with torch.no_grad():
        output = detector.complete(net(normal))
        for score in scores.values():
            if score.fitted_on:
                score.fit(output.only(score.reads))
    return detector, arrays.test_images[arrays.test_labels != 0][:40]


@pytest.fixture(scope="module", params=["pixels", "features"])
def fitted(request: pytest.FixtureRequest) -> tuple[Detector, Tensor]:
    torch.manual_seed(0)
    if request.param == "pixels":
        return trained(DenseAutoencoder((1, 8, 8), (48,), 10), OF_PIXELS, 100)
    return trained(FeatureAutoencoder(OrientedGradients(scales=[1], grid=6), None, (8, 8), 32, 8), OF_FEATURES, 30)


@pytest.mark.parametrize("corner", CORNERS)
@torch.no_grad()
def test_what_is_painted_into_a_corner_is_found_there(fitted: tuple[Detector, Tensor], corner: str) -> None:
    detector, images = fitted
    down, right = CORNERS[corner]
    images = images.clone()
    images[:, :, 5 * down : 5 * down + 3, 5 * right : 5 * right + 3] = 255
    maps = detector.explain(images)
    assert tuple(maps) == tuple(name for name in detector.scores if name != "kmeans")
    for name, places in maps.items():
        assert places.shape == (40, 8, 8)
        assert places.dtype == torch.float32
        highest = places.flatten(1).argmax(1)
        inside = (highest // 8 // 4 == down) & (highest % 8 // 4 == right)
        # The structure of the digit beside the square changes too.
        assert inside.float().mean() > (0.6 if name == "ssim" else 0.95), name


@torch.no_grad()
def test_scores_are_sums_or_means_of_their_maps(fitted: tuple[Detector, Tensor]) -> None:
    detector, images = fitted
    output = detector.complete(detector.net(images / 255))
    for name, score in detector.score_modules.items():
        places = score.score_map(output)
        if name == "kmeans":
            assert places is None and not score.gives_map
            continue
        assert places is not None and score.gives_map
        values = places.flatten(1).sort(dim=1, descending=True).values
        count = {"top": 4, "patches": 3}.get(name, values.shape[1])  # 5 % of 64 pixels, rounded up
        expected = values[:, :count].sum(1)
        if name in ("top", "patches", "ssim"):
            expected = expected / count
        torch.testing.assert_close(score.score(output), expected, msg=name)


@torch.no_grad()
def test_maps_are_resized_bilinearly(fitted: tuple[Detector, Tensor]) -> None:
    detector, images = fitted
    output = detector.complete(detector.net(images / 255))
    places = detector.score_modules["reconstruction"].score_map(output)
    assert places is not None
    resized = detector.maps(output, [2 * side for side in places.shape[1:]])["reconstruction"]
    # Every pixel lies a quarter of the way between two places.
    down = (3 * places[:, 1] + places[:, 2]) / 4
    torch.testing.assert_close(resized[:, 3, 3], (3 * down[:, 1] + down[:, 2]) / 4)
    torch.testing.assert_close(resized[:, 0, 0], places[:, 0, 0])
    assert all(found.shape == (0, 8, 8) for found in detector.explain(images[:0]).values())


@torch.no_grad()
def test_half_precision_and_chunks_change_no_map(
    fitted: tuple[Detector, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, images = fitted
    output = detector.complete(detector.net(images / 255))
    expected = detector.maps(output, (8, 8))
    for score in detector.score_modules.values():
        monkeypatch.setattr(score, "chunk", 7)
    with torch.autocast("cpu", torch.bfloat16):
        found = detector.maps(output, (8, 8))
    for name, places in expected.items():
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name], places, rtol=1e-5, atol=1e-6, msg=name)


def test_an_unfitted_score_is_refused_by_name() -> None:
    net = FeatureAutoencoder(OrientedGradients(scales=[1], grid=6), None, (8, 8), 32, 8).eval()
    with pytest.raises(UserError, match="'patches' was never fitted"):
        Detector(net, {"patches": PatchKNN()}, {}).explain(torch.rand(2, 1, 8, 8))


class FlatError(ReconstructionError):
    """One number for each image in place of a map."""

    def map(self, output: Output) -> Tensor:
        return self(output)


class ColumnError(ReconstructionError):
    """A column in place of one number for each image."""

    def forward(self, output: Output) -> Tensor:
        return super().forward(output).unsqueeze(1)


def test_a_score_of_a_wrong_shape_is_refused() -> None:
    images = torch.zeros(3, 1, 4, 4)
    with pytest.raises(UserError, match=r"ColumnError must return one number per image, got shape \(3, 1\)"):
        ColumnError().score(Output(images, images, images))


def test_a_map_of_a_wrong_shape_is_refused() -> None:
    images = torch.zeros(3, 1, 4, 4)
    with pytest.raises(UserError, match=r"score FlatError must return one map \(h, w\) per image, got shape \(3,\)"):
        FlatError().score_map(Output(images, images, images))
