"""Pictures of images, and which normal images are suspicious."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from aeanomaly.data.base import Arrays, OneClassDataModule
from aeanomaly.evaluation.detector import Detector
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.outputs import Output
from aeanomaly.page import suspects
from aeanomaly.page.pictures import evaluating, pictures_of
from aeanomaly.page.suspects import find_suspects
from aeanomaly.scores.base import Score
from aeanomaly.scores.knn import KNN
from aeanomaly.scores.patch_knn import PatchKNN
from aeanomaly.scores.reconstruction import ReconstructionError
from tests.page.parts import detector

CPU = torch.device("cpu")


class Spots(OneClassDataModule):
    """Dim noise; a training image in 40 is bright, which nobody knows."""

    def load(self) -> Arrays:
        noise = torch.randint(0, 60, (400, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        noise[::40] += 190
        labels = torch.arange(400) // 40 % 2
        paths = {"train": [f"good/{row}.png" for row in range(400)], "test": [f"test/{row}.png" for row in range(40)]}
        return Arrays(noise, labels, noise[:40], torch.arange(40) % 2, paths=paths)


class TwoOdd(Spots):
    """Dim noise, and two images in two other lights."""

    def load(self) -> Arrays:
        arrays = super().load()
        arrays.train_images[::40] -= 190
        for row, light in ((80, 100), (240, 195)):
            arrays.train_images[row] += light
        return arrays


def opened(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"))


def test_an_input_is_shown_as_it_is_and_an_error_where_it_is() -> None:
    judge, images = detector(), torch.zeros(2, 1, 8, 8)
    images[0, 0, 2, 5] = 1.0
    with evaluating(judge):
        shown = pictures_of(judge, images)
        error = (judge.net(images).reconstruction - images).square()[0, 0].numpy()
    assert opened(shown[0]["input"])[2, 5].tolist() == [255, 255, 255]
    assert opened(shown[0]["input"]).sum() == 3 * 255
    brightness = opened(shown[0]["squared error"]).sum(2)
    assert np.unravel_index(brightness.argmax(), brightness.shape) == np.unravel_index(error.argmax(), error.shape)


def test_a_map_of_what_is_normal_is_black_and_of_what_is_not_bright() -> None:
    judge, grain = detector(), torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    normal = 0.4 + grain / 5  # about what an untrained net makes of anything
    odd = normal[:1].clone()
    odd[0, 0, 2, 5] = 1.0
    with evaluating(judge):
        scores = judge.score("reconstruction", judge.output(normal))
        judge.calibration("reconstruction").fit(scores)
        (most_normal,) = pictures_of(judge, normal[scores.argmin()][None])
        (anomalous,) = pictures_of(judge, odd)
    assert opened(most_normal["map:reconstruction"]).max() < 10  # the darkest colour is not quite black
    assert opened(anomalous["map:reconstruction"])[2, 5].max() > 150


def test_a_large_photograph_becomes_small_and_six_channels_nothing() -> None:
    class Flat(DenseAutoencoder):
        """For any size."""

    judge = Detector(Flat([3, 200, 300], [4], 2), {"reconstruction": ReconstructionError()}, {})
    with evaluating(judge):
        (shown,) = pictures_of(judge, torch.rand(1, 3, 200, 300))
    assert opened(shown["input"]).shape == (75, 112, 3)
    assert len(shown["input"]) < 12_000
    assert pictures_of(judge, torch.rand(2, 6, 8, 8)) == [{}, {}]


def test_modes_are_put_back_part_by_part() -> None:
    judge = detector().train()
    judge.net.eval()
    with evaluating(judge):
        assert not judge.training
        assert not torch.is_grad_enabled()
    assert (judge.training, judge.net.training) == (True, False)


@pytest.fixture
def data() -> Spots:
    module = Spots(normal_classes=[0], val_fraction=0.2, split_seed=3)
    module.setup()
    return module


def vectors(table: Tensor) -> np.ndarray:
    return (table.flatten(1).double() / 255).numpy()


def test_bright_images_among_the_good_ones_are_found_without_having_been_seen(data: Spots) -> None:
    score = KNN("target", k=3, metric="euclidean")
    judge = Detector(DenseAutoencoder([1, 8, 8], [16], 3), {"knn": score}, {})
    arrays = data.load()
    with evaluating(judge):
        train = data.train_in_order_dataloader().dataset[torch.arange(len(data.split.train))].image
        score.fit(judge.net(train))
        found = find_suspects(judge, data, 10, CPU)
    assert (score.k, found.looked_at["knn"]) == (3, 200)
    ranking = {found.images[place].index: value for place, value in found.ranking["knn"]}
    normal = torch.cat([data.split.train, data.split.val_normal])
    bright = [row for row in normal.tolist() if row % 40 == 0]
    assert set(list(ranking)[: len(bright)]) == set(bright)
    # Independently: distances to the bank, for a training image without itself.
    bank = vectors(arrays.train_images[data.split.train])
    neighbours = NearestNeighbors().fit(bank)
    for place, value in found.ranking["knn"]:
        image = found.images[place]
        row = vectors(arrays.train_images[[image.index]])
        distances = neighbours.kneighbors(row, 4)[0][0]
        assert value == pytest.approx(distances[1:].mean() if image.trained_on else distances[:3].mean(), rel=1e-3)
        assert (image.index in data.split.train) == image.trained_on
        assert image.path == f"good/{image.index}.png"
        assert (opened(image.pictures["input"])[..., 0] == arrays.train_images[image.index, 0].numpy()).all()
    assert list(ranking.values()) == sorted(ranking.values(), reverse=True)


@pytest.mark.parametrize(
    "score",
    [
        KNN("target", metric="euclidean", bank="random", size=60),
        PatchKNN("target", size=500, candidates=2000),
        PatchKNN("target", bank="all", candidates=20_000),  # all places: there is no sample
    ],
)
def test_a_bank_that_does_not_tell_whose_its_rows_are_is_made_of_either_half(score: Score) -> None:
    """Odd images are found although they are in the bank of the run, which stays as it is."""
    data = TwoOdd(normal_classes=[0], val_fraction=0.2, split_seed=3)
    data.setup()
    judge = Detector(DenseAutoencoder([1, 8, 8], [16], 3), {"places": score}, {})
    with evaluating(judge):
        score.fit(judge.net(data.train_in_order_dataloader().dataset[torch.arange(len(data.split.train))].image))
        before = {name: values.clone() for name, values in judge.state_dict().items()}
        found = find_suspects(judge, data, 2, CPU)
    assert found.looked_at["places"] == 200
    assert {image.index for image in found.images} == {80, 240}
    assert all(image.trained_on for image in found.images)
    assert "other half" in found.notes["places"]
    assert all(torch.equal(values, before[name]) for name, values in judge.state_dict().items())


class Darkest(Score):
    """How much brighter than its darkest training image, which it does not forget."""

    reads, fitted_on = ("target",), "train"

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("darkest", torch.empty(0))

    def fit(self, outputs: Output) -> None:
        self.darkest = outputs.target.amin(0)

    def forward(self, output: Output) -> Tensor:
        return self.map(output).amax((1, 2))

    def map(self, output: Output) -> Tensor:
        return (output.target - self.darkest).mean(1)


def test_maps_of_training_images_are_drawn_by_what_has_not_seen_them() -> None:
    """Where a picture is odd is bright although it is in the bank; what has no other half to go by has no map."""
    data = TwoOdd(normal_classes=[0], val_fraction=0.2, split_seed=3)
    data.setup()
    scores = {"places": PatchKNN("target", bank="all", candidates=20_000), "darkest": Darkest()}
    judge = Detector(DenseAutoencoder([1, 8, 8], [16], 3), scores, {})
    with evaluating(judge):
        train = judge.net(data.train_in_order_dataloader().dataset[torch.arange(len(data.split.train))].image)
        held_out = judge.net(next(iter(data.val_dataloader())).image[: len(data.split.val_normal)])
        for name, score in scores.items():
            score.fit(train)
            judge.calibration(name).fit(judge.score(name, held_out))
        found = find_suspects(judge, data, 8, CPU)
    shown = {image.index: image for image in found.images}
    for row in (80, 240):
        assert opened(shown[row].pictures["map:places"]).max() > 150
    assert {image.trained_on for image in shown.values()} == {True, False}
    for image in shown.values():
        assert ("map:darkest" in image.pictures) is not image.trained_on


def test_more_training_images_than_are_judged_are_told_of(data: Spots, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {"knn": KNN("target"), "reconstruction": ReconstructionError()}
    judge = Detector(DenseAutoencoder([1, 8, 8], [16], 3), scores, {})
    trained = len(data.split.train)
    with evaluating(judge):
        scores["knn"].fit(judge.net(data.train_in_order_dataloader().dataset[torch.arange(trained)].image))
        for most, told in ((trained - 1, True), (trained, False)):
            monkeypatch.setattr(suspects, "_MOST_TRAINING_IMAGES", most)
            found = find_suspects(judge, data, 10, CPU)
            sentence = f"None of the {trained} training images was judged: only up to {most} are"
            assert (sentence in found.notes["knn"]) is told
            assert (found.looked_at["knn"] == len(data.split.val_normal)) is told
            assert "training images was judged" not in found.notes["reconstruction"]


def test_a_score_without_a_bank_judges_held_out_images_only(data: Spots) -> None:
    judge = detector()
    with evaluating(judge):
        found = find_suspects(judge, data, 5, CPU)
    assert found.looked_at["reconstruction"] == len(data.split.val_normal)
    assert not any(image.trained_on for image in found.images)
    assert {image.index for image in found.images} <= set(data.split.val_normal.tolist())
