"""The schedule that knows how long a fit is."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from aeanomaly.commands.main import main
from aeanomaly.errors import UserError
from aeanomaly.training.schedules import WarmupCosine
from tests.conftest import DEBUG

SCHEDULE = ["--model.lr_scheduler", "aeanomaly.training.schedules.WarmupCosine"]


def rates(steps: int, warmup: float) -> list[float]:
    """The learning rate of each step of a fit, and the one after the last."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = WarmupCosine(optimizer, warmup)
    schedule.plan(steps)
    found = []
    for _ in range(steps + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_it_rises_in_a_line_and_falls_to_zero_along_a_cosine() -> None:
    found = rates(20, 0.2)
    assert found[:4] == pytest.approx([0.125, 0.25, 0.375, 0.5])
    assert found[4] == pytest.approx(0.5)
    assert found[12] == pytest.approx(0.25)
    assert found[20] == pytest.approx(0.0)
    assert all(later < earlier for earlier, later in pairwise(found[4:]))


def test_without_warm_up_it_starts_at_the_top() -> None:
    assert rates(10, 0.0)[0] == 0.5


def test_a_share_out_of_range_is_refused() -> None:
    with pytest.raises(UserError, match="warmup must be at least 0 and below 1, got 1"):
        WarmupCosine(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5), warmup=1.0)


@pytest.mark.parametrize(
    ("options", "moves"),
    [
        (["--model.lr_interval", "step"], 74),
        (["--model.lr_interval", "step", "--model.steps_per_call", "1"], 74),
        (["--model.lr_interval", "step", "--trainer.accumulate_grad_batches", "4"], 20),
        (["--model.lr_interval", "step", "--trainer.max_steps", "50"], 50),
        (["--model.lr_interval", "step", "--trainer.limit_train_batches", "10"], 20),
        (["--model.lr_interval", "epoch"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_a_fit_ends_where_the_schedule_does(options: list[str], moves: int, fit: Callable[..., Path]) -> None:
    run = fit(*SCHEDULE, *options)
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    schedule = saved["lr_schedulers"][0]
    assert schedule["last_epoch"] == moves
    assert schedule["_last_lr"][0] == pytest.approx(0.0, abs=1e-9)
    assert schedule["base_lrs"] == [0.005]


def test_a_fit_without_an_end_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fit", "--config", DEBUG, "--trainer.default_root_dir", str(tmp_path), "--trainer.max_epochs", "-1"]
    schedule = json.dumps({"class_path": "aeanomaly.training.schedules.WarmupCosine"})
    assert main([*words, "--model.lr_scheduler", schedule, "--model.lr_interval", "step"]) == 2
    assert "set trainer.max_epochs" in capsys.readouterr().err
