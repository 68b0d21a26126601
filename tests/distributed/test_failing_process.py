"""A process that fails ends the run: in time, with its error, said once, and with nothing left behind."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.processes import DDP, run_commands, run_forked

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="looks after process groups, and forks")


def failing(rank: int, hook: str, how: str, stuck: bool = False, epoch: int = 0) -> list[str]:
    """Options that let one process fail."""
    settings = {"rank": rank, "hook": hook, "how": how, "stuck": stuck, "epoch": epoch}
    return ["--trainer.callbacks+", json.dumps({"class_path": "tests.parts.FailOnRank", "init_args": settings})]


def errors(said: str) -> list[str]:
    """What was said in error, going by lines that name an error."""
    return [line for line in said.splitlines() if "rror: " in line]


STARTED_BY_LIGHTNING = {
    "mistake on the second, the first is stuck": (
        failing(1, "on_validation_batch_start", "mistake", stuck=True),
        2,
        ["aeanomaly: error: a mistake on one device"],
    ),
    "defect in the fit of a score": (
        ["--model.scores.unfittable", "tests.parts.UnfittableScore"],
        1,
        ["[rank0]: ZeroDivisionError: a defect in a fit"],
    ),
    "the second is killed": (
        failing(1, "on_train_batch_start", "kill"),
        1,
        ["aeanomaly: error: stopped, because process 1 of the run failed: killed by SIGKILL"],
    ),
}


@pytest.mark.parametrize("case", STARTED_BY_LIGHTNING)
def test_run_started_by_lightning(case: str, tmp_path: Path) -> None:
    options, status, says = STARTED_BY_LIGHTNING[case]
    words = [sys.executable, "-m", "aeanomaly", "fit", *DDP, *options, "--trainer.default_root_dir", str(tmp_path)]
    (ended,) = run_commands([words], tmp_path)
    assert ended.status == status, ended.said
    assert errors(ended.said) == says, ended.said
    assert any((tmp_path / "lightning_logs").iterdir()) == (status != 2)


STARTED_BY_A_SCHEDULER = {
    "mistake on the first, the others are stuck": (
        failing(0, "on_validation_batch_start", "mistake", stuck=True),
        2,
        ["aeanomaly: error: a mistake on one device"],
    ),
    "defect in a step of the second": (
        failing(1, "on_train_batch_start", "defect"),
        1,
        ["ZeroDivisionError: a defect on one device"],
    ),
    "no data for the second": (
        ["--data", "tests.parts.DigitsOfOneMachine", "--data.anomaly_classes", "[0]"],
        2,
        ["aeanomaly: error: there is no data on this machine"],
    ),
    "mistake on all at once": (
        ["--data.val_fraction", "0.01"],
        2,
        ["aeanomaly: error: a false alarm rate of 0.05 cannot be guaranteed from 13 normal validation images"],
    ),
}


@pytest.mark.parametrize("case", STARTED_BY_A_SCHEDULER)
def test_run_started_by_a_scheduler(case: str, tmp_path: Path) -> None:
    options, status, says = STARTED_BY_A_SCHEDULER[case]
    words = ["fit", *DDP, *options, "--trainer.default_root_dir", str(tmp_path)]
    processes = run_forked(words, 3, tmp_path)
    said = "\n".join(process.said for process in processes)
    assert [process.status for process in processes] == [status] * 3, said
    found = errors(said)
    assert len(found) == len(says), said
    assert all(part in line for part, line in zip(says, found, strict=True)), said
    logs = tmp_path / "lightning_logs"
    assert (logs.exists() and any(logs.iterdir())) == (status != 2)
