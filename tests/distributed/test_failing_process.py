"""A process that fails ends the run: in time, with its error, and with no process left behind."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.processes import DDP, run_commands, run_forked

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="looks after process groups, and forks"),
]


def failing(rank: int, hook: str, how: str, stuck: bool = False, epoch: int = 0) -> list[str]:
    """Options that let one process fail."""
    settings = {"rank": rank, "hook": hook, "how": how, "stuck": stuck, "epoch": epoch}
    return ["--trainer.callbacks+", json.dumps({"class_path": "tests.parts.FailOnRank", "init_args": settings})]


# Where others are stuck, no error of a connection reaches them, as in a collective of NCCL.
STARTED_BY_LIGHTNING = {
    "mistake on the second, the first is stuck": (
        failing(1, "on_validation_batch_start", "mistake", stuck=True),
        "aeanomaly: error: a mistake on one device",
    ),
    "mistake on the first, the second is stuck": (
        failing(0, "on_validation_batch_start", "mistake", stuck=True),
        "aeanomaly: error: a mistake on one device",
    ),
    "defect in the fit of a score": (
        ["--model.scores.unfittable", "tests.parts.UnfittableScore"],
        "ZeroDivisionError: a defect in a fit",
    ),
    "the second is killed, the first is stuck": (
        failing(1, "on_train_batch_start", "kill", stuck=True),
        "terminated with code -9",
    ),
    "the second is killed": (
        failing(1, "on_train_batch_start", "kill"),
        "aeanomaly: error: another process of this run has ended, and may have said why; nothing is left to resume",
    ),
    "the second is killed after a checkpoint": (
        failing(1, "on_train_batch_start", "kill", epoch=1),
        "/lightning_logs/version_0/checkpoints/last.ckpt is whole: resume with: python -m aeanomaly fit --ckpt_path ",
    ),
}


@pytest.mark.parametrize("case", STARTED_BY_LIGHTNING)
def test_run_started_by_lightning(case: str, tmp_path: Path) -> None:
    options, says = STARTED_BY_LIGHTNING[case]
    words = [sys.executable, "-m", "aeanomaly", "fit", *DDP, *options, "--trainer.default_root_dir", str(tmp_path)]
    (ended,) = run_commands([words], tmp_path, limit=60)
    assert ended.status != 0, ended.said
    assert ended.status == 2 or "another process of this run" not in ended.said, ended.said
    assert says in ended.said, ended.said
    assert ("Traceback" in ended.said) is ("defect" in case), ended.said


def test_first_process_that_is_killed_takes_the_others_with_it(tmp_path: Path) -> None:
    options = failing(0, "on_train_batch_start", "kill", stuck=True)
    words = [sys.executable, "-m", "aeanomaly", "fit", *DDP, *options, "--trainer.default_root_dir", str(tmp_path)]
    (ended,) = run_commands([words], tmp_path, limit=60, patience=10)
    assert ended.status == -9, ended.said


STARTED_BY_A_SCHEDULER = {
    "mistake on the first": (
        failing(0, "on_validation_batch_start", "mistake"),
        "aeanomaly: error: a mistake on one device",
    ),
    "defect in a step of the second": (
        failing(1, "on_train_batch_start", "defect"),
        "ZeroDivisionError: a defect on one device",
    ),
    "no data for the second": (
        ["--data", "tests.parts.DigitsOfOneMachine", "--data.anomaly_classes", "[0]"],
        "aeanomaly: error: there is no data on this machine",
    ),
    "mistake on all at once": (
        ["--data.val_fraction", "0.01"],
        "aeanomaly: error: a false alarm rate of 0.05 cannot be guaranteed from 13 normal validation images",
    ),
}


@pytest.mark.parametrize("case", STARTED_BY_A_SCHEDULER)
def test_run_started_by_a_scheduler(case: str, tmp_path: Path) -> None:
    options, says = STARTED_BY_A_SCHEDULER[case]
    words = ["fit", *DDP, *options, "--trainer.default_root_dir", str(tmp_path)]
    processes = run_forked(words, 3, tmp_path)
    said = "\n".join(process.said for process in processes)
    assert all(process.status for process in processes), said
    assert says in said, said
