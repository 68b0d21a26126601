"""The test images of the shared run as pictures in a folder, and the command."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from aeanomaly.commands.main import main
from aeanomaly.data.sources.digits import Digits
from aeanomaly.inference.anomaly_detector import AnomalyDetector

COLUMNS = ["path", "reconstruction", "p_value/reconstruction", "reconstruction@alarm5", "reconstruction@fixed"]
COLUMNS += ["kmeans", "p_value/kmeans", "kmeans@alarm5"]


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="session")
def test_images() -> np.ndarray:
    """(360, 1, 8, 8) uint8."""
    return Digits(anomaly_classes=[0]).load().test_images.numpy()


@pytest.fixture
def pictures(tmp_path: Path, test_images: np.ndarray) -> Path:
    """The first 40 test images as PNG, in two folders, beside what is no picture."""
    folder = tmp_path / "pictures"
    for number, image in enumerate(test_images[:40]):
        place = folder / ("a" if number < 20 else "b")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(place / f"{number:02}.png")
    (folder / "a" / "notes.txt").write_text("no picture")
    (folder / "b" / ".hidden.png").write_text("no picture")
    return folder


@pytest.fixture
def predict(run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs the command in a folder of its own, with the shared run on the CPU."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: main(["predict", "--ckpt_path", str(run_dir), "--device", "cpu", *map(str, words)])


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[int]]:
    """Has a method of the detector that takes a batch press Ctrl-C when it has seen 16 images.

    Returns a list whose one number is how many it has seen, and may be set.
    """

    def interrupt(method: str) -> list[int]:
        work, seen = getattr(AnomalyDetector, method), [0]

        def counted(self: AnomalyDetector, images: torch.Tensor) -> Any:
            if seen[0] == 16:
                raise KeyboardInterrupt
            seen[0] += len(images)
            return work(self, images)

        monkeypatch.setattr(AnomalyDetector, method, counted)
        return seen

    return interrupt
