"""Run directories made by hand, and `compare` called on them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from aeanomaly.commands.main import main

Csv = list[dict[str, str]]


def make_run(path: Path, auroc: float, seed: int = 9, code_size: int = 5, **values: float) -> Path:
    path.mkdir(parents=True)
    net = {"class_path": "aeanomaly.models.dense.DenseAutoencoder", "init_args": {"code_size": code_size, "act": "a|b"}}
    config: dict[str, Any] = {
        "seed_everything": seed,
        "trainer": {"max_epochs": 10, "default_root_dir": str(path)},
        "model": {"net": net, "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.005}}},
        "data": {"class_path": "aeanomaly.data.sources.mnist.MNIST", "init_args": {"anomaly_classes": [0]}},
    }
    (path / "config.yaml").write_text(yaml.dump(config))
    metrics = {"test/auroc/kmeans": auroc, "val/loss": 1 - auroc, "seed": seed, "fit_seconds": 12.5, **values}
    (path / "metrics.json").write_text(json.dumps(metrics))
    return path


def run_ok(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["compare", *words]) == 0
    return capsys.readouterr().out


def run_fails(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["compare", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("aeanomaly: error: ")
    assert err.count("\n") == 1
    return err


def table_rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.lstrip().startswith("version_") and ": " not in line]


def read_csv(text: str) -> Csv:
    return list(csv.DictReader(io.StringIO(text)))
