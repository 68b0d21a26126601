"""Scores of images that are no part of the run are those the run gave, whatever form the images come in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import aeanomaly
from aeanomaly import AnomalyDetector, UserError
from aeanomaly.evaluation.detector import Detector
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.runs.finding import find_checkpoint
from aeanomaly.runs.reading import read_run
from aeanomaly.scores.fusion import Fusion
from aeanomaly.scores.kmeans import KMeans
from aeanomaly.scores.reconstruction import ReconstructionError


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


def test_the_last_score_made_of_others_is_the_main_one() -> None:
    scores = {"one": ReconstructionError(), "first": Fusion(["one"]), "both": Fusion(["one"])}
    scores |= {"other": ReconstructionError()}
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


def test_a_run_may_be_an_entry_of_a_folder(run_dir: Path) -> None:
    with os.scandir(run_dir.parent) as entries:
        entry = next(entry for entry in entries if entry.name == run_dir.name)
    assert aeanomaly.load(entry, device="cpu").score_names == aeanomaly.load(run_dir, device="cpu").score_names  # type: ignore[arg-type]
