"""Runs made by hand, with scores of many images, and pictures without a fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import yaml

from aeanomaly.evaluation.detector import Detector
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.page.choice import choose
from aeanomaly.page.gallery import Gallery
from aeanomaly.page.pictures import evaluating, pictures_of
from aeanomaly.page.scored import ScoredRun
from aeanomaly.scores.reconstruction import ReconstructionError


def make_run(
    path: Path, images: int = 1000, names: tuple[str, ...] = ("reconstruction", "kmeans"), seed: int = 0, size: int = 5
) -> Path:
    """A finished run: a tenth of its images is anomalous, and scores higher. The first score has two thresholds."""
    generator = np.random.default_rng(seed)
    anomalous = np.arange(images) % 10 == 3
    scores = {name: generator.gamma(9, 3, images) * np.where(anomalous, 1.6, 1) for name in names}
    path.mkdir(parents=True)
    lines = [",".join(("index", "class", "is_anomaly", *names))]
    for row in range(images):
        numbers = [f"{np.float32(values[row]):.9g}" for values in scores.values()]
        lines.append(",".join([str(row), str(row % 10), str(int(anomalous[row])), *numbers]))
    (path / "test_scores.csv").write_text("\n".join(lines) + "\n")
    record = {f"test/{metric}/{name}": 0.9 for name in names for metric in ("auroc", "aupr", "fpr95")}
    record |= {f"threshold/{name}@alarm5": float(np.float32(np.quantile(scores[name], 0.9))) for name in names}
    record |= {
        f"threshold/{names[0]}@fixed": 35.0,
        "val/loss": 0.03,
        "fit_seconds": 12.5,
        "test_seconds": 1.5,
        "seed": seed,
    }
    (path / "metrics.json").write_text(json.dumps(record))
    net = {"class_path": "aeanomaly.models.dense.DenseAutoencoder", "init_args": {"code_size": size}}
    (path / "config.yaml").write_text(yaml.dump({"seed_everything": seed, "trainer": {}, "model": {"net": net}}))
    return path


def detector() -> Detector:
    """An untrained net for 1x8x8 images."""
    torch.manual_seed(0)
    return Detector(DenseAutoencoder([1, 8, 8], [16], 3), {"reconstruction": ReconstructionError()}, {})


def gallery(scored: ScoredRun, images: int = 48) -> Gallery:
    """Pictures of noise in the place of the test images."""
    rows, judge = choose(scored, images), detector()
    with evaluating(judge):
        return Gallery(dict(zip(rows, pictures_of(judge, torch.rand(len(rows), 1, 8, 8)), strict=True)))
