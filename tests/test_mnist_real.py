"""The real MNIST: what is in it, and that a short run on it finds the zeros."""

from __future__ import annotations

import json
from pathlib import Path

from aeanomaly.commands.main import main
from aeanomaly.data.sources.mnist import MNIST
from tests.conftest import REPOSITORY


def test_sizes_of_the_split(mnist_dir: Path) -> None:
    data = MNIST(anomaly_classes=[0], data_dir=str(mnist_dir), source="disk", split_seed=0)
    data.prepare_data()
    data.setup()
    assert data.image_shape == (1, 28, 28)
    sizes = data.sizes()
    assert sizes["val_anomaly"] == 5923
    assert sizes["train_images"] + sizes["val_normal"] == 60_000 - 5923
    assert sizes["val_normal"] == round(0.1 * (60_000 - 5923))
    assert (sizes["test_normal"], sizes["test_anomaly"]) == (9020, 980)


def test_one_epoch_of_the_study_finds_the_zeros(mnist_dir: Path, tmp_path: Path) -> None:
    words = ["fit", "--config", str(REPOSITORY / "configs" / "base.yaml"), "--data.data_dir", str(mnist_dir)]
    words += ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "400", "--trainer.accelerator", "cpu"]
    assert main([*words, "--trainer.devices", "1", "--trainer.default_root_dir", str(tmp_path)]) == 0
    run = tmp_path / "lightning_logs" / "version_0"
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test/auroc/reconstruction"] > 0.85
    assert metrics["data_source"] == "disk"
    logged = [*run.glob("events.out.tfevents.*"), *(run / "projector").rglob("*.*")]
    assert sum(path.stat().st_size for path in logged) < 2e6  # so that ten such epochs stay below 20 MB
