"""SIGTERM ends a benchmark with a line on stderr and the status 143, and the same command goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aeanomaly.commands.main import main
from tests.commands.benchmark.small_grid import SLEEP, benchmark, wait_for_cells
from tests.commands.benchmark.test_stopped import children
from tests.conftest import REPOSITORY

SAID = "Terminated: cells in flight are lost, finished ones are kept. The same command goes on.\n"
SEND = {"class_path": "tests.commands.fit.test_resume.SendSignal", "init_args": {"step": 3, "number": 15}}


@pytest.mark.parametrize("callback", [SEND, {"class_path": "tests.processes.TerminateInTest"}], ids=["fit", "test"])
def test_one_worker(callback: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In its fit, where the fit itself listens, and in its test."""
    before = signal.getsignal(signal.SIGTERM)
    assert main(benchmark(tmp_path, callback)) == 143
    said = capsys.readouterr()
    assert said.err == SAID
    assert "4 of 4 cells did not run yet" in said.out
    assert len(list((tmp_path / "out" / "cells").iterdir())) == 1
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "ray"])
def test_several_workers_end_too(backend: str, uninterrupted: Path, tmp_path: Path) -> None:
    if backend == "ray":
        pytest.importorskip("ray", reason="Ray is missing: pip install 'aeanomaly[ray]'")
    process = subprocess.Popen(
        [sys.executable, "-m", "aeanomaly", *benchmark(tmp_path, SLEEP, "--workers", "2", "--backend", backend)],
        cwd=REPOSITORY,
        env={**os.environ, "SLEEP_IN_FIT": "30"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for_cells(process, tmp_path / "out", 2)
        workers = children(process.pid)
        assert len(workers) == (2 if backend == "loky" else 0)
        process.terminate()
        _, said = process.communicate(timeout=60)
        assert [line for line in said.splitlines(keepends=True) if line.startswith("Terminated")] == [SAID]
        assert process.returncode == 143
        assert main(benchmark(tmp_path, SLEEP)) == 0
        assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert (tmp_path / "out" / "results.csv").read_text() == (uninterrupted / "results.csv").read_text()
