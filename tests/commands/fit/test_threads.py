"""The number of threads follows the size of the work and what other processes leave free."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from aeanomaly.commands.fit import threads
from aeanomaly.commands.fit.threads import ProcessorWatch, choose_threads, threads_for, wait_passively
from aeanomaly.commands.main import main

DEBUG_WORK, BASE_WORK = 8_901 * 32, 927_000 * 64


@pytest.mark.parametrize(
    ("work", "free", "expected"),
    [(DEBUG_WORK, 8, 1), (BASE_WORK, 2, 2), (BASE_WORK, 1, 1), (BASE_WORK, 64, 14), (0, 2, 1)],
)
def test_a_small_net_gets_one_thread_and_a_large_one_what_is_free(work: int, free: int, expected: int) -> None:
    assert threads_for(work, free) == expected


def write_times(path: Path, busy: list[float]) -> None:
    """Processor times as Linux shows them, with so many busy seconds each."""
    ticks = os.sysconf("SC_CLK_TCK")
    lines = [f"cpu{number} {round(seconds * ticks)} 0 0 99999 0 0 0 0 0 0" for number, seconds in enumerate(busy)]
    path.write_text("\n".join(["cpu  1 0 0 1 0 0 0 0 0 0", *lines, "intr 5"]) + "\n")


@pytest.mark.parametrize(("others", "free"), [([0, 0, 0, 0], 4), ([10, 0, 0, 0], 3), ([10, 10, 10, 10], 1)])
def test_processors_that_others_keep_busy_are_not_free(
    others: list[float], free: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    own, now = os.times(), time.monotonic()
    monkeypatch.setattr(os, "times", lambda: own)
    monkeypatch.setattr(threads.time, "monotonic", lambda: now)
    write_times(tmp_path / "stat", [100, 100, 100, 100])
    watch = ProcessorWatch(tmp_path / "stat")
    write_times(tmp_path / "stat", [100 + seconds for seconds in others])
    monkeypatch.setattr(threads.time, "monotonic", lambda: now + 10)
    assert watch.free() == free


def test_without_statistics_all_processors_count_as_free(tmp_path: Path) -> None:
    assert ProcessorWatch(tmp_path / "none").free() == len(os.sched_getaffinity(0))


def test_what_the_user_has_set_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        torch.set_num_threads(2)
        choose_threads(1)
        assert torch.get_num_threads() == 2
        monkeypatch.delenv("OMP_NUM_THREADS")
        choose_threads(1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    wait_passively()
    assert "GOMP_SPINCOUNT" not in os.environ
    monkeypatch.delenv("OMP_WAIT_POLICY")
    wait_passively()
    assert int(os.environ["GOMP_SPINCOUNT"]) > 0
    monkeypatch.setenv("GOMP_SPINCOUNT", "5")
    wait_passively()
    assert os.environ["GOMP_SPINCOUNT"] == "5"


def test_a_resumed_run_keeps_the_number_of_threads(
    fit: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums in another order differ in the last bit."""
    run = fit()
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["threads"] == json.loads((run / "metrics.json").read_text())["threads"]
    torch.save(content | {"threads": 2}, tmp_path / "two.ckpt")
    words = ["fit", "--config", str(run / "config.yaml"), "--ckpt_path", str(tmp_path / "two.ckpt")]
    words += ["--trainer.max_epochs", "3", "--trainer.default_root_dir", str(tmp_path)]
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    try:
        torch.set_num_threads(2)
        assert main(words) == 0
    finally:
        torch.set_num_threads(before)
    assert json.loads((tmp_path / "lightning_logs" / "version_0" / "metrics.json").read_text())["threads"] == 2
