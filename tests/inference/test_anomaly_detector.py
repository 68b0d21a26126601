"""Scores of images that are no part of the run are those the run gave, whatever form the images come in."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

import aeanomaly
from aeanomaly import AnomalyDetector, UserError
from aeanomaly.data.pictures import Geometry
from aeanomaly.data.sources.digits import Digits
from aeanomaly.evaluation.detector import Detector
from aeanomaly.inference.images import batches, prepared
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.runs.finding import find_checkpoint
from aeanomaly.runs.reading import read_run
from aeanomaly.scores.fusion import Fusion
from aeanomaly.scores.kmeans import KMeans
from aeanomaly.scores.reconstruction import ReconstructionError

GREY = Geometry(8, 8, "resize", 1)


@pytest.fixture(scope="module")
def detector(run_dir: Path) -> AnomalyDetector:
    return aeanomaly.load(run_dir, device="cpu")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """(360, 1, 8, 8) uint8, the test images."""
    return Digits(anomaly_classes=[0]).load().test_images.numpy()


@pytest.fixture(scope="module")
def recorded(run_dir: Path) -> dict[str, np.ndarray]:
    with (run_dir / "test_scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    return {name: np.array([float(row[name]) for row in rows]) for name in ("reconstruction", "kmeans")}


def test_scores_are_those_of_the_test(detector: AnomalyDetector, images: np.ndarray, recorded: Any) -> None:
    assert detector.main == "reconstruction"
    assert detector.score(images) == pytest.approx(recorded["reconstruction"], rel=1e-5)
    assert detector.score(images, "kmeans") == pytest.approx(recorded["kmeans"], rel=1e-4)
    assert detector.score(images).dtype == np.float32


def test_p_values_and_decisions_follow_from_the_calibration(
    detector: AnomalyDetector, images: np.ndarray, run_dir: Path
) -> None:
    state = torch.load(find_checkpoint(run_dir), weights_only=True)["state_dict"]
    for name, (scores, p_values, decisions) in detector.judge(images).items():
        normal = state[f"detector.calibrations.{name}.normal_scores"].numpy()
        above = (normal[None] >= scores[:, None]).sum(1)
        assert p_values == pytest.approx((1 + above) / (1 + len(normal)), rel=1e-6)
        rank = int(np.ceil(round((len(normal) + 1) * 0.95, 9)))
        assert (decisions["alarm5"] == (scores > np.sort(normal)[rank - 1])).all()
        assert ("fixed" in decisions) == (name == "reconstruction")
    assert (detector.predict(images).decision["fixed"] == (detector.score(images) > 3)).all()


def test_one_image_is_as_in_a_batch(detector: AnomalyDetector, images: np.ndarray) -> None:
    whole = detector.score(images)
    for number in (0, 7, 359):
        assert detector.score(images[number]) == pytest.approx(whole[number : number + 1], rel=1e-5)


def test_every_form_is_the_same_image(detector: AnomalyDetector, images: np.ndarray, tmp_path: Path) -> None:
    few = images[:5]
    expected = detector.score(few)
    for number, image in enumerate(few):
        Image.fromarray(image[0]).save(tmp_path / f"{number}.png")
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    forms: list[Any] = [
        few[:, 0],
        few.transpose(0, 2, 3, 1),
        few / 255,
        torch.from_numpy(few),
        torch.from_numpy(few)[:, 0] / 255,
        list(few),
        list(few[:, 0]),
        (image for image in few / np.float32(255)),
        [few[0], few[1] / 255, Image.fromarray(few[2, 0]), paths[3], str(paths[4])],
        [Image.fromarray(image[0]).convert("RGB") for image in few],
        paths,
    ]
    for form in forms:
        assert detector.score(form) == pytest.approx(expected, rel=1e-5)
    for one in (few[0, 0], few[0, 0, :, :, None], Image.fromarray(few[0, 0]), paths[0], str(paths[0])):
        assert detector.score(one) == pytest.approx(expected[:1], rel=1e-5)


def test_a_generator_may_fill_one_buffer_again_and_again(run_dir: Path, images: np.ndarray) -> None:
    """Threads get to an image when the generator is long at another one."""
    detector = aeanomaly.load(run_dir, device="cpu", batch_size=10)
    few = images[:25]
    expected = detector.score(few)
    buffer, tensor = np.empty_like(few[0]), torch.empty(few[0].shape, dtype=torch.uint8)
    file = io.BytesIO()
    first, *others = [Image.fromarray(image[0]) for image in few]
    first.save(file, "TIFF", save_all=True, append_images=others)
    frames = Image.open(file)
    drawn = Image.new("L", (8, 8))

    def filled(one: Any, fill: Callable[[np.ndarray], object]) -> Iterator[Any]:
        for image in few:
            fill(image)
            yield one

    forms: list[Any] = [
        filled(buffer, lambda image: np.copyto(buffer, image)),
        filled(tensor, lambda image: tensor.copy_(torch.from_numpy(image))),
        filled(drawn, lambda image: drawn.paste(Image.fromarray(image[0]))),
        ImageSequence.Iterator(frames),
    ]
    for form in forms:
        assert detector.score(form) == pytest.approx(expected, rel=1e-5)
    assert detector.score([frames] * 25) == pytest.approx(expected[[24]].repeat(25), rel=1e-5)
    assert detector.score([first, *others]) == pytest.approx(expected, rel=1e-5)


def test_sizes_may_differ(detector: AnomalyDetector, images: np.ndarray) -> None:
    large = images[:3].repeat(4, 2).repeat(4, 3)  # each pixel 4 x 4
    expected = detector.score([Image.fromarray(image[0]) for image in large])
    assert detector.score(large) == pytest.approx(expected, rel=1e-5)
    assert detector.score(large / 255) == pytest.approx(expected, rel=1e-5)
    assert detector.score([images[0], large[1], images[2]])[1] == pytest.approx(expected[1], rel=1e-5)
    by_pillow = [Image.fromarray(image[0]).resize((8, 8), Image.Resampling.BILINEAR) for image in large]
    assert expected == pytest.approx(detector.score(by_pillow), rel=0.05)  # levels differ by 1 at most


@pytest.mark.parametrize(
    ("images", "says"),
    [
        ([], "there are no images"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"shape \[2, 3, 8, 8\] holds no images of 1 channel, which"),
        (np.zeros((8, 8, 3), np.uint8), "holds no images of 1 channel"),
        (np.zeros(8, np.uint8), "holds no images"),
        (np.zeros((8, 8), np.int64), "must be uint8 from 0 to 255 or floating-point from 0 to 1, not int64"),
        (np.full((8, 8), 200.0), "must lie between 0 and 1, here are 200 to 200"),
        (np.full((8, 8), np.nan), "here are NaN"),
        ([np.zeros((2, 1, 8, 8), np.uint8)], "holds several images"),
        ([3], "an image is an array, a tensor, a PIL image or a path, not int"),
        ("nowhere.png", "cannot read nowhere.png: No such file"),
        (str(Path(__file__).parent), r"inference is a folder: give .* sorted\(pathlib.Path\(.*\).rglob\('\*.png'\)\)"),
        ([Path(__file__).parent], "inference is a folder"),
        (Path(__file__), "test_anomaly_detector.py is no picture"),
        (5, "an image is an array, a tensor, a PIL image or a path, or several of these, not int"),
        (None, "or several of these, not NoneType"),
        ("a\0b", r"'a\\x00b' is no path: embedded null"),
    ],
)
def test_what_is_no_image(detector: AnomalyDetector, images: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        detector.score(images)


def test_unknown_names(detector: AnomalyDetector, run_dir: Path, images: np.ndarray) -> None:
    with pytest.raises(UserError, match="no score 'kmean'; did you mean 'kmeans'"):
        detector.score(images, "kmean")
    with pytest.raises(UserError, match="there is no device 'cuba'"):
        aeanomaly.load(run_dir, device="cuba")


@pytest.mark.parametrize("size", [0, -1, 2.5, "4"])
def test_a_batch_has_a_whole_number_of_images(run_dir: Path, size: Any) -> None:
    with pytest.raises(UserError, match=f"batch_size must be a whole number of at least 1, or None, got '?{size}"):
        aeanomaly.load(run_dir, device="cpu", batch_size=size)


def test_what_load_takes(run_dir: Path) -> None:
    automatic = aeanomaly.load(run_dir).device
    assert aeanomaly.load(read_run(run_dir), device=None).device == automatic
    assert aeanomaly.load(str(run_dir), device=torch.device("cpu"), batch_size=np.int64(4)).device.type == "cpu"
    with pytest.raises(UserError, match=r"there is no device 1\.5 here"):
        aeanomaly.load(run_dir, device=1.5)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="load takes a run, or the path of a run or a checkpoint, not NoneType"):
        aeanomaly.load(None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"there is no run or checkpoint 'a\\x00b'"):
        aeanomaly.load("a\0b")


@pytest.mark.parametrize("several", [False, True])
def test_what_may_not_be_written_to_is_copied(images: np.ndarray, several: bool) -> None:
    """PyTorch knows no tensors that are read only, and warns."""
    kept = images[:3].copy()
    for writeable in (True, False):
        kept.setflags(write=writeable)
        (batch,) = batches(kept, GREY, 3) if several else [prepared(kept[0], GREY)]
        assert (batch.data_ptr() == kept.ctypes.data) == writeable
        assert np.array_equal(batch.numpy().reshape(-1, 1, 8, 8), kept if several else kept[:1])


def test_a_score_made_of_others_is_the_main_one() -> None:
    scores = {"one": ReconstructionError(), "both": Fusion(["one"]), "other": ReconstructionError()}
    detector = Detector(DenseAutoencoder((1, 8, 8), (24,), 3), scores, {})
    assert AnomalyDetector(detector, (1, 8, 8), device="cpu").main == "both"


def test_maps_say_where(run_dir: Path, images: np.ndarray, recorded: Any) -> None:
    """Of the two scores one gives a map, whose places add up to the score."""
    detector = aeanomaly.load(run_dir, device="cpu", batch_size=100)
    assert detector.mapped == ["reconstruction"]
    maps = detector.explain(images)
    assert list(maps) == ["reconstruction"]
    assert maps["reconstruction"].shape == (360, 8, 8)
    assert maps["reconstruction"].dtype == np.float32
    assert maps["reconstruction"].sum((1, 2)) == pytest.approx(recorded["reconstruction"], rel=1e-4)
    forms: list[Any] = [torch.from_numpy(images[3]), [Image.fromarray(images[3, 0])], images[3, 0] / 255]
    for form in forms:
        assert detector.explain(form)["reconstruction"] == pytest.approx(maps["reconstruction"][3:4], rel=1e-4)
    with pytest.raises(UserError, match="there are no images to explain"):
        detector.explain([])


def test_a_batch_is_judged_and_explained_by_one_look(detector: AnomalyDetector, images: np.ndarray) -> None:
    few = torch.from_numpy(images[:5])
    judged, maps = detector.explain_batch(few)
    assert judged["kmeans"].score == pytest.approx(detector.judge_batch(few)["kmeans"].score)
    assert maps["reconstruction"].shape == (5, 8, 8)


def test_a_checkpoint_without_maps_is_told_what_gives_them() -> None:
    scores = {"kmeans": KMeans(4)}
    detector = AnomalyDetector(Detector(DenseAutoencoder((1, 8, 8), (24,), 3), scores, {}), (1, 8, 8), device="cpu")
    with pytest.raises(UserError, match=r"no score .* gives a map \(it has kmeans\): .*configs/scores/where.yaml"):
        detector.explain(np.zeros((8, 8), np.uint8))


def test_a_generator_is_read_two_batches_ahead_at_most(run_dir: Path, images: np.ndarray) -> None:
    detector = aeanomaly.load(run_dir, device="cpu", batch_size=10)
    judged, most, given = 0, 0, 0
    judge = detector.judge_batch

    def counted(batch: torch.Tensor) -> Any:
        nonlocal judged
        judged += len(batch)
        return judge(batch)

    def endless() -> Iterator[np.ndarray]:
        nonlocal given, most
        for number in range(300):
            given += 1
            most = max(most, given - judged)
            yield images[number % 360]

    detector.judge_batch = counted  # type: ignore[method-assign]
    assert len(detector.score(endless())) == judged == 300
    assert most <= 3 * 10 + 1


class Pictures:
    """A sequence as Python had them first, and torch's data sets are: without an iterator of its own."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def __getitem__(self, number: int) -> np.ndarray:
        if number >= 3:
            raise IndexError
        return self.images[number]


def test_a_data_set_is_a_sequence_of_images(detector: AnomalyDetector, images: np.ndarray) -> None:
    np.testing.assert_array_equal(detector.score(Pictures(images)), detector.score(images[:3]))  # type: ignore[arg-type]


def test_a_run_may_be_an_entry_of_a_folder(run_dir: Path) -> None:
    with os.scandir(run_dir.parent) as entries:
        entry = next(entry for entry in entries if entry.name == run_dir.name)
    assert aeanomaly.load(entry, device="cpu").score_names == aeanomaly.load(run_dir, device="cpu").score_names  # type: ignore[arg-type]
