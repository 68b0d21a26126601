"""Processes of a run that one of them is told to stop do so after the same step, with one checkpoint."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
import torch

from tests.commands.fit.test_resume import sending
from tests.processes import DDP, run_commands

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="looks after process groups")]


def test_a_signal_to_one_process_stops_all_with_a_checkpoint(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "aeanomaly", "fit", *DDP, "--trainer.default_root_dir", str(tmp_path)]
    words += ["--trainer.callbacks", "[]", *sending(step=3, number=signal.SIGTERM, rank=1)]
    last = "aeanomaly.callbacks.last_checkpoint.LastCheckpoint"
    (ended,) = run_commands([[*words, "--trainer.callbacks+", last]], tmp_path, limit=100, patience=5)
    assert ended.status == 128 + signal.SIGTERM, ended.said
    path = tmp_path / "lightning_logs" / "version_0" / "checkpoints" / "last.ckpt"
    assert f"Stopped. Resume with: python -m aeanomaly fit --ckpt_path {path}" in ended.said
    assert torch.load(path, weights_only=True)["global_step"] == 10
