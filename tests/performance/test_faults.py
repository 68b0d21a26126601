"""The table of faults counts what was lost and says why; its figures come from many tries, in docs/reliability.md."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from tests.performance.scripts import BENCHMARKS, cells, load
from tests.processes import run_script


@pytest.mark.slow
def test_faults(tmp_path: Path) -> None:
    options = ["--tries", "1", "--only", "twice", "--folder", str(tmp_path)]
    ended = run_script(BENCHMARKS / "faults.py", options, tmp_path)
    assert ended.status == 0, ended.said
    name = "fit: Ctrl-C twice leaves at once (seconds)"
    tries, fine = cells(ended.said, name)[:2]
    # The moment is random: what may come of one try is the business of the table, that it is said is that of this test.
    assert tries == "1"
    assert (fine == "1") is (f"{name}: " not in ended.said), ended.said


def test_a_fault_that_loses_something_says_what(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = load("fault", monkeypatch)
    fault = faults.Fault("kill")
    fault.note(faults.Ended(0, "fine", 1.0), [])
    fault.note(faults.Ended(1, "Traceback (most recent call last):\n  ...\nKeyError: 3", 2.0), [])
    fault.note(faults.Ended(1, "", 3.0), ["status 1"])
    assert fault.row() == ["kill", "3", "1", "2.0"]
    assert fault.lost[0].startswith("a traceback: ")
    assert fault.lost[0].endswith("KeyError: 3")
    assert fault.lost[1] == "status 1"


def test_a_try_that_goes_wrong_in_two_ways_is_one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = load("fault", monkeypatch)
    fault = faults.Fault("kill")
    fault.note(faults.Ended(1, "Traceback ... KeyError: 3", 1.0), ["status 1"])
    assert fault.row() == ["kill", "1", "0", "1.0"]
    assert fault.lost == ["status 1; a traceback: Traceback ... KeyError: 3"]


def test_endings_that_differ_are_told_apart(run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endings, other = load("endings", monkeypatch), tmp_path / "version_0"
    shutil.copytree(run_dir, other)
    assert endings.differences(other, run_dir) == []
    last = other / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    next(iter(content["state_dict"].values())).add_(1e-6)
    torch.save(content, last)
    (other / "test_scores.csv").write_text("")
    writer = SummaryWriter(str(other))
    writer.add_scalar("train/loss", 1.0, 10_000)
    writer.close()
    assert endings.differences(other, run_dir) == ["weights in last.ckpt", "test scores", "points of train/loss"]
    last.unlink()
    assert "checkpoints" in endings.differences(other, run_dir)[0]
