"""Runs to compare, good ones and troubled ones."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.commands.compare.parts import make_run


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three seeds of code size 2 and two of code size 8, in the default place."""
    monkeypatch.chdir(tmp_path)
    for number, (auroc, seed, size) in enumerate([(0.8, 1, 2), (0.7, 2, 2), (0.75, 3, 2), (0.9, 1, 8), (0.95, 2, 8)]):
        make_run(Path("lightning_logs", f"version_{number}"), auroc, seed, size)
    return Path("lightning_logs")


@pytest.fixture
def troubled(logs: Path) -> Path:
    """Beside the five good runs, one in each kind of trouble."""
    truncated = make_run(logs / "version_5", 0.5) / "metrics.json"
    truncated.write_text(truncated.read_text()[:30])
    (make_run(logs / "version_6", 0.5) / "metrics.json").unlink()
    make_run(logs / "version_7", math.nan, seed=3, code_size=8)
    (make_run(logs / "version_8", 0.99) / "config.yaml").unlink()
    (make_run(logs / "version_9", 0.5) / "metrics.json").write_text('{"val/loss": 0.5, "fit_seconds": 1.0}')
    (logs / "version_10").mkdir()
    return logs
