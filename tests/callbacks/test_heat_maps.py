"""Maps of test images are measured where there are masks, and drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import yaml
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from sklearn.metrics import roc_auc_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from aeanomaly.callbacks.heat_maps import HeatMaps
from aeanomaly.commands.main import main
from aeanomaly.data.sources.digits import Digits
from aeanomaly.errors import UserError
from aeanomaly.evaluation.pixel_metrics import PixelCounts
from aeanomaly.models.oriented_gradients import OrientedGradients
from aeanomaly.models.untrained import Untrained
from aeanomaly.scores.base import Score
from aeanomaly.scores.kmeans import KMeans
from aeanomaly.scores.patch_knn import PatchKNN
from aeanomaly.scores.reconstruction import ReconstructionError
from aeanomaly.training.module import LitAutoencoder
from tests.conftest import DEBUG
from tests.parts import PaintedDigits
from tests.training.parts import make_trainer

MAPPED = ("reconstruction", "patch_knn")


def values_of(
    data: L.LightningDataModule, callback: HeatMaps, **options: Any
) -> tuple[dict[str, float], LitAutoencoder]:
    """The logged values of a test after a short fit, with two scores that give maps and one that does not."""
    L.seed_everything(0, verbose=False)
    scores: dict[str, Score] = {"reconstruction": ReconstructionError(), "kmeans": KMeans(3)}
    scores["patch_knn"] = PatchKNN("features.front", size=50, candidates=3000)
    net = Untrained((1, 8, 8), OrientedGradients(scales=[1], grid=6))
    module, trainer = LitAutoencoder(net, scores), make_trainer([callback], log_every_n_steps=1, **options)
    trainer.fit(module, data)
    (logged,) = trainer.test(module, data, verbose=False)
    return dict(logged), module


def tags(folder: Path) -> list[str]:
    events = EventAccumulator(str(next(folder.rglob("events.out.tfevents.*")).parent), size_guidance={"images": 0})
    events.Reload()
    return [tag for tag in events.Tags()["images"] if "heat_maps" in tag]


def test_pixel_metrics_are_those_of_all_maps_of_the_test(tmp_path: Path) -> None:
    data = PaintedDigits(anomaly_classes=[0], eval_batch_size=50)
    logged, module = values_of(data, HeatMaps(images=2), max_epochs=2, logger=TensorBoardLogger(tmp_path))
    images = data.load().test_images
    with torch.no_grad():
        maps = module.detector.eval().explain(images)
    assert tuple(maps) == MAPPED
    for name in MAPPED:
        expected = roc_auc_score(data.painted.flatten().numpy(), maps[name].flatten().numpy())
        assert logged[f"test/pixel_auroc/{name}"] == pytest.approx(expected, abs=1e-4)
        counts = PixelCounts()
        counts.add(maps[name], data.painted)
        assert logged[f"test/aupro/{name}"] == pytest.approx(counts.metrics()["aupro"], abs=1e-4)
    assert not any("kmeans" in name for name in logged if "pixel" in name or "aupro" in name)
    assert sorted(tags(tmp_path)) == sorted(f"test/heat_maps/{name}" for name in MAPPED)
    for name in MAPPED:
        (picture,) = tmp_path.rglob(f"figures/heat_maps_{name}.png")
        assert Image.open(picture).size[0] > 400


@pytest.mark.parametrize("images", [0, 1])
def test_without_masks_maps_are_only_drawn(images: int, tmp_path: Path) -> None:
    options = {"max_epochs": 1, "logger": TensorBoardLogger(tmp_path)}
    logged, _ = values_of(Digits(anomaly_classes=[0]), HeatMaps(images), **options)
    assert not any("pixel" in name or "aupro" in name for name in logged)
    assert len(tags(tmp_path)) == images * len(MAPPED)


def test_a_negative_number_of_images_is_a_users_mistake() -> None:
    with pytest.raises(UserError, match="HeatMaps: images must be at least 0, got -1"):
        HeatMaps(-1)


def test_they_stand_in_the_table_and_the_record_and_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    callback = {"class_path": "aeanomaly.callbacks.heat_maps.HeatMaps", "init_args": {"images": 1}}
    fragment = tmp_path / "heat_maps.yaml"
    fragment.write_text(yaml.safe_dump({"trainer": {"callbacks+": [callback], "max_epochs": 1}}))
    words = ["--config", DEBUG, "--config", str(fragment), "--data", "tests.parts.PaintedDigits"]
    assert main(["fit", *words, "--data.anomaly_classes", "[0]", "--trainer.default_root_dir", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert {"PIXEL", "AUPRO"} <= set(printed.split())
    assert "…" not in printed  # nothing is cut off
    run = tmp_path / "lightning_logs" / "version_0"
    record = json.loads((run / "metrics.json").read_text())
    found = [name for name in record if name.startswith(("test/pixel_auroc/", "test/aupro/"))]
    assert sorted(found) == ["test/aupro/reconstruction", "test/pixel_auroc/reconstruction"]
    assert f"{record['test/aupro/reconstruction']:.4f}" in printed
    assert main(["compare", str(run), "--metrics", "pixel_auroc,aupro"]) == 0
    assert f"{record['test/pixel_auroc/reconstruction']:.4f}" in capsys.readouterr().out
