"""Pixels that are counted in two processes are those of one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from aeanomaly.models.oriented_gradients import OrientedGradients
from aeanomaly.models.untrained import Untrained
from aeanomaly.scores.patch_knn import PatchKNN
from aeanomaly.training.description import describe
from tests.distributed.test_ddp import assert_same_figures_alone, read
from tests.processes import DDP, run_forked


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_pixel_metrics_of_two_processes_are_those_of_one(tmp_path: Path) -> None:
    net = Untrained((1, 8, 8), OrientedGradients(scales=[1], grid=6))
    patches = PatchKNN("features.front", size=50, candidates=3000)
    scores = {"reconstruction": {}, "kmeans": {}, "patches": describe(patches)}
    callback = {"class_path": "aeanomaly.callbacks.heat_maps.HeatMaps"}
    config = {
        "model": {"net": describe(net), "scores": scores},
        "trainer": {"callbacks+": [callback], "max_epochs": 1},
    }
    file = tmp_path / "heat_maps.yaml"
    file.write_text(yaml.safe_dump(config))
    # Of 360 test images in batches of 359, one process has none in the second batch.
    options = ["--config", str(file), "--data", "tests.parts.PaintedDigits", "--data.anomaly_classes", "[0]"]
    options += ["--data.eval_batch_size", "359", "--trainer.default_root_dir", str(tmp_path / "two")]
    processes = run_forked(["fit", *DDP, *options], 2, tmp_path, limit=150)
    assert [process.status for process in processes] == [0, 0], processes
    run = tmp_path / "two" / "lightning_logs" / "version_0"
    _, metrics = read(run)
    names = {f"test/{metric}/{score}" for metric in ("pixel_auroc", "aupro") for score in ("reconstruction", "patches")}
    assert names <= metrics.keys()
    assert metrics["test/pixel_auroc/patches"] > 0.8
    assert_same_figures_alone(run, tmp_path / "one")
