"""A benchmark on Ray, started for real on this machine, ends like one without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aeanomaly.commands.main import main
from tests.commands.benchmark.test_benchmark import words
from tests.conftest import REPOSITORY

pytest.importorskip("ray", reason="Ray is not installed: pip install 'aeanomaly[ray]'")


def test_same_results_as_without_ray(tmp_path: Path) -> None:
    assert main(words(tmp_path, "plain")) == 0
    # In a process of its own: Ray's processes end with it.
    command = [sys.executable, "-m", "aeanomaly", *words(tmp_path, "ray", "--backend", "ray", "--workers", "2")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "ray" / "results.csv").read_text() == (tmp_path / "plain" / "results.csv").read_text()
