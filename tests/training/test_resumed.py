"""A run that is stopped and resumed ends as if nothing had happened, whatever its schedule and validations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aeanomaly.commands.main import main
from tests.commands.fit.test_resume import sending, status_of
from tests.training.parts import same, state

EVERY_2 = ["--trainer.check_val_every_n_epoch", "2"]
WARMUP = ["--model.lr_scheduler", "aeanomaly.training.schedules.WarmupCosine", "--model.lr_interval", "step"]
SINGLE = ["--model.steps_per_call", "1"]
BY_BATCHES = ["--trainer.check_val_every_n_epoch", "null", "--trainer.val_check_interval", "37"]

CASES = {
    "schedule that knows the length": (WARMUP, 45),
    "schedule that knows the length, single steps": ([*WARMUP, *SINGLE], 45),
    "schedule that knows the length, validation every 2 epochs": ([*WARMUP, *EVERY_2], 30),
    "validation by batches": (BY_BATCHES, 45),
}


@pytest.mark.parametrize("case", CASES)
def test_a_resumed_run_ends_like_a_whole_one(case: str, fit: Callable[..., Path], tmp_path: Path) -> None:
    options, step = CASES[case]
    whole = fit(*options)
    words = ["fit", "--config", str(whole / "config.yaml"), "--trainer.default_root_dir", str(tmp_path)]
    assert status_of([*words, *sending(step=step)]) == 130
    resumed = tmp_path / "lightning_logs" / "version_0"
    stopped_at = state(resumed)["global_step"]
    assert step <= stopped_at < state(whole)["global_step"]
    assert main([*words, "--ckpt_path", str(resumed / "checkpoints" / "last.ckpt")]) == 0
    ends = [state(run) for run in (whole, resumed)]
    assert ends[0]["global_step"] == ends[1]["global_step"]
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert same(ends[0][part], ends[1][part]), part
