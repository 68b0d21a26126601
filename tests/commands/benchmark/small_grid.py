"""A grid of four cells on the 8x8 digits, and what tests read of its results."""

from __future__ import annotations

import csv
from pathlib import Path

import yaml

from tests.conftest import DEBUG

# Without pictures and histograms, which take as long as all the rest of so small a fit.
CALLBACKS = [
    {"class_path": "aeanomaly.callbacks.fit_scores.FitScores"},
    {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": {"monitor": "val/loss"}},
]
OVERRIDES = {
    "trainer.max_epochs": 1,
    "trainer.accelerator": "cpu",
    "trainer.devices": 1,
    "trainer.callbacks": CALLBACKS,
}
GRID = {
    "name": "tiny",
    "base": [DEBUG],
    "overrides": OVERRIDES,
    "protocol": "leave-one-out",
    "classes": [0, 1],
    "methods": {"dense": {}},
    "seeds": [1, 2],
}


def write_grid(folder: Path, **changes: object) -> str:
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump({**GRID, **changes}))
    return str(path)


def words(folder: Path, out: str, *more: str) -> list[str]:
    return ["benchmark", "--config", write_grid(folder), "--out", str(folder / out), "--threads", "1", *more]


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open() as stream:
        return list(csv.DictReader(stream))
