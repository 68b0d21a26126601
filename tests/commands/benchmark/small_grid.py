"""A grid of four cells on the 8x8 digits, and what tests read of its results."""

from __future__ import annotations

import csv
import subprocess
import time
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import DEBUG

# Without pictures and histograms, which take as long as all the rest of so small a fit.
CALLBACKS = [
    {"class_path": "aeanomaly.callbacks.fit_scores.FitScores"},
    {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": {"monitor": "val/loss"}},
]
SLEEP: dict[str, Any] = {"class_path": "tests.processes.SleepInFit"}  # as many seconds as SLEEP_IN_FIT says
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


def benchmark(folder: Path, callback: dict[str, Any], *more: str) -> list[str]:
    """The words of a benchmark whose cells have one more callback."""
    grid = write_grid(folder, overrides={**OVERRIDES, "trainer.callbacks": [*CALLBACKS, callback]})
    return ["benchmark", "--config", grid, "--out", str(folder / "out"), "--threads", "1", *more]


def wait_for_cells(
    process: subprocess.Popen[Any], out: Path, count: int = 1, begun: str = "version_0/config.yaml"
) -> None:
    """Wait until this many cells of a benchmark at work have begun, which a file of their run shows."""
    deadline = time.monotonic() + 100
    while len(list((out / "cells").glob(f"*/lightning_logs/{begun}"))) < count:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open() as stream:
        return list(csv.DictReader(stream))
