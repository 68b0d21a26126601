"""What docs/extending.md shows works as it stands there, from outside the package, by class path."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aeanomaly.commands.main import main
from aeanomaly.inference.anomaly_detector import load
from tests.conftest import DEBUG, REPOSITORY

PAGE = (REPOSITORY / "docs" / "extending.md").read_text()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with every file that the page shows, importable and the current one."""
    files = re.findall(r"^`(\w+\.(?:py|yaml))`:\n\n```\w+\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert len(files) == 11
    for name, content in files:
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def fit(project: Path, *fragments: str) -> dict[str, Any]:
    words = ["fit", "--config", DEBUG, "--trainer.max_epochs", "5"]
    for fragment in fragments:
        words += ["--config", str(project / fragment)]
    assert main(words) == 0
    content: dict[str, Any] = json.loads((project / "lightning_logs" / "version_0" / "metrics.json").read_text())
    return content


def test_a_dataset(project: Path) -> None:
    metrics = fit(project, "stripes.yaml")
    assert metrics["data"] == "Stripes"
    assert (metrics["test_normal"], metrics["test_anomaly"]) == (200, 100)


def test_images_in_files(project: Path) -> None:
    for part, count in (("train", 600), ("test", 60)):
        np.save(f"{part}_images.npy", np.random.default_rng(0).integers(0, 256, (count, 8, 8), dtype=np.uint8))
        np.save(f"{part}_labels.npy", np.arange(count) % 3)
    metrics = fit(project, "files.yaml")
    assert (metrics["data"], metrics["data_source"]) == ("ArrayFiles", "train_images.npy")
    assert (metrics["test_normal"], metrics["test_anomaly"]) == (40, 20)


def test_a_net(project: Path) -> None:
    fit(project, "shallow.yaml")
    config = (project / "lightning_logs" / "version_0" / "config.yaml").read_text()
    assert "shallow.Shallow" in config


def test_a_front_end_and_a_view(project: Path) -> None:
    fit(project, "blocks.yaml")
    config = (project / "lightning_logs" / "version_0" / "config.yaml").read_text()
    assert "blocks.Blocks" in config
    assert "blocks.Mirror" in config
    net = load("lightning_logs/version_0", device="cpu", allow_import=["blocks"]).detector.net
    assert net(torch.rand(3, 1, 8, 8)).reconstruction.shape == (3, 2, 4, 4)


def test_a_score_fitted_on_training_images(project: Path) -> None:
    metrics = fit(project, "mahalanobis.yaml")
    assert {f"test/auroc/{name}" for name in ("reconstruction", "kmeans", "mahalanobis")} <= metrics.keys()
    assert "threshold/mahalanobis@alarm5" in metrics


def test_a_callback(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(project, "hardest.yaml")
    assert re.search(r"hardest normal test images: \[\d+, \d+, \d+\]", capsys.readouterr().out)


def test_all_together(project: Path) -> None:
    metrics = fit(project, "stripes.yaml", "shallow.yaml", "mahalanobis.yaml", "hardest.yaml")
    assert metrics["test/auroc/reconstruction"] > 0.9
