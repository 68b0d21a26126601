"""A run, exported once for the tests that only read the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from aeanomaly.commands.main import main
from aeanomaly.data.sources.digits import Digits

# From uint8 images to arrays by name of the output.
Scorer = Callable[["np.ndarray[Any, Any]"], "dict[str, np.ndarray[Any, Any]]"]


class Scored(NamedTuple):
    """The images of a run's test and its test_scores.csv."""

    images: np.ndarray[Any, Any]  # (N, 1, 8, 8) uint8
    columns: dict[str, np.ndarray[Any, Any]]


def opened(path: Path) -> Scorer:
    """A file of ONNX by ONNX Runtime."""
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return lambda images: dict(zip(names, session.run(names, {"images": images}), strict=True))


@pytest.fixture(scope="session")
def onnx_file(run_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared run as ONNX."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason="pip install 'aeanomaly[export]'")
    path = tmp_path_factory.mktemp("export") / "detector.onnx"
    assert main(["export", "--ckpt_path", str(run_dir), "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="session")
def scored(run_dir: Path) -> Scored:
    """What the shared run said of its test images."""
    table = np.genfromtxt(run_dir / "test_scores.csv", delimiter=",", names=True)
    images = Digits(anomaly_classes=[0]).load().test_images.numpy()
    return Scored(images[table["index"].astype(int)], {name: table[name] for name in table.dtype.names})
