"""A benchmark that is killed, interrupted, or run on Ray ends with the same table."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aeanomaly.commands.main import main
from tests.commands.benchmark.small_grid import SLEEP, benchmark, wait_for_cells, words
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.slow


def children(pid: int) -> list[int]:
    command = ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = []
    for line in listing.splitlines():
        child, parent, what = line.split(None, 2)
        if int(parent) == pid and "LokyProcess" in what:
            found.append(int(child))
    return found


@pytest.mark.parametrize("victim", ["worker", "parent"])
def test_killed_and_resumed_ends_like_uninterrupted(victim: str, uninterrupted: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "aeanomaly", *words(tmp_path, "out", "--workers", "2")]
    # A group of its own, so that whatever the parent leaves behind can be stopped.
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for_cells(process, tmp_path / "out", begun="")
        workers = children(process.pid)
        assert workers
        os.kill(workers[0] if victim == "worker" else process.pid, signal.SIGKILL)
        status = process.wait(timeout=120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if victim == "worker":
        assert status == 0  # the cells of the dead worker were run again
    else:
        assert main(words(tmp_path, "out")) == 0
    assert (tmp_path / "out" / "results.csv").read_text() == (uninterrupted / "results.csv").read_text()


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is missing: pip install 'aeanomaly[ray]'")
def test_on_ray_as_without(uninterrupted: Path, tmp_path: Path) -> None:
    """Ray is started for real on this machine, in a process of its own, with which Ray's processes end."""
    command = [sys.executable, "-m", "aeanomaly", *words(tmp_path, "out", "--backend", "ray", "--workers", "2")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out" / "results.csv").read_text() == (uninterrupted / "results.csv").read_text()


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is missing: pip install 'aeanomaly[ray]'")
def test_a_gpu_that_ray_has_not_is_not_waited_for(tmp_path: Path) -> None:
    more = ["--backend", "ray", "--gpus-per-cell", "0.5"]
    command = [sys.executable, "-m", "aeanomaly", *words(tmp_path, "out", *more)]
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    told = "aeanomaly: error: --gpus-per-cell is 0.5, and no machine of the Ray cluster has more than 0 GPUs\n"
    assert done.stderr.endswith(told)


def test_ctrl_c_ends_a_benchmark_of_one_worker_and_it_goes_on(uninterrupted: Path, tmp_path: Path) -> None:
    command = benchmark(tmp_path, SLEEP)
    process = subprocess.Popen(
        [sys.executable, "-m", "aeanomaly", *command],
        cwd=REPOSITORY,
        env={**os.environ, "SLEEP_IN_FIT": "10"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background jobs of a shell ignore it
    )
    try:
        wait_for_cells(process, tmp_path / "out")
        process.send_signal(signal.SIGINT)
        shown, _ = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert "Interrupted: cells in flight are lost" in shown
    assert main(command) == 0
    assert (tmp_path / "out" / "results.csv").read_text() == (uninterrupted / "results.csv").read_text()
