"""The table of faults counts what was lost and says why; its figures come from many tries, in docs/reliability.md."""

from __future__ import annotations

import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from tests.performance.scripts import BENCHMARKS, cells, load
from tests.processes import run_script

SMALL = ("full_cache", "full_export", "no_folder", "diverging", "second_resume")


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
    assert re.search(r"up to 1 tries of each fault, seed 0, \d+\.\d minutes\.$", ended.said.splitlines()[0]), ended.said
    assert re.search(re.escape(name) + r"\. The longest took \d+\.\d s, and may take 10\.", ended.said), ended.said


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_small_fault_is_told_from_its_opposite(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries, small = load("tries", monkeypatch), load("small_faults", monkeypatch)
    fault = getattr(small, name)(tries.Tries(tmp_path, 1, random.Random(0)))
    assert (fault.tries, fault.lost) == (1, [])
    assert fault.said.startswith("aeanomaly: error: ")


@pytest.mark.parametrize(("counted", "begun"), [(1, 3), (2, 6), (4, 6)])
def test_tries_go_on_until_enough_of_them_count(
    counted: int, begun: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every so many is a try, the others ended too early; no more than twice as many are begun."""
    tries, fault = load("tries", monkeypatch), load("fault", monkeypatch).Fault("a fault")
    found = 0
    for _ in tries.Tries(tmp_path, 3, random.Random(0)).until(fault):
        found += 1
        fault.tries += found % counted == 0
    assert found == begun


def test_every_small_fault_is_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries, small = load("tries", monkeypatch), load("small_faults", monkeypatch)
    for name in SMALL:
        monkeypatch.setattr(small, name, lambda tries, name=name: name)
    assert small.small(tries.Tries(tmp_path, 1, random.Random(0))) == list(SMALL)
    assert len(small.few(tries.Tries(tmp_path, 20, random.Random(0)))) == small.FEW


@pytest.mark.parametrize(
    ("status", "said", "missing"),
    [
        (2, "epoch 1\naeanomaly: error: no room", False),
        (1, "aeanomaly: error: no room", True),
        (2, "aeanomaly: error: no room\naeanomaly: error: no room", True),
        (2, "aeanomaly: error: no room\nand more", True),
        (2, "aeanomaly: error: no such file", True),
    ],
)
def test_what_is_a_refusal(status: int, said: str, missing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = load("tries", monkeypatch)
    assert bool(tries.not_refused(load("commands", monkeypatch).Ended(status, said, 1.0), "no room")) is missing


def test_a_try_that_takes_too_long_is_lost_and_the_longest_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = load("fault", monkeypatch)
    fault = faults.Fault("twice", limit=10.0)
    fault.note(faults.Ended(130, "Stopped.", 2.0), [])
    fault.note(faults.Ended(130, "Stopped.", 10.5), [])
    assert fault.row() == ["twice", "2", "1", "10.5"]
    longest = "twice. The longest took 10.5 s, and may take 10."
    assert fault.sentences() == [longest, "twice: 10.5 s, more than 10"]


@pytest.mark.parametrize(("status", "lost"), [(-9, []), (1, ["status 1: KeyError"])])
def test_a_finished_run_with_another_status_is_lost(
    status: int, lost: list[str], run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits, tries = load("fit_faults", monkeypatch), load("tries", monkeypatch)

    def stopped(words: Any, folder: Path, stop: Any, room: Any) -> Any:
        shutil.copytree(run_dir, folder / tries.RUN)
        return tries.Ended(status, "KeyError", 1.0)

    monkeypatch.setattr(fits, "stopped", stopped)
    fault, alone = fits.Fault("kill"), run_dir.parent.parent
    fits.one_fit(tries.FIT, fault, alone, tries.Tries(tmp_path, 1, random.Random(0)), lambda process: None, (-9,))
    assert (fault.tries, fault.lost) == (1, lost)


@pytest.mark.parametrize(("status", "count", "lost"), [(0, 0, []), (-9, 1, []), (1, 1, ["status 1: KeyError"])])
def test_a_first_start_counts_if_it_was_killed(
    status: int, count: int, lost: list[str], run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, tries = load("picture_faults", monkeypatch), load("tries", monkeypatch)

    def again(words: Any, folder: Path) -> Any:
        shutil.copytree(run_dir, folder / "again" / tries.RUN)
        return tries.Ended(0, "", 1.0)

    monkeypatch.setattr(pictures, "stopped", lambda *_: tries.Ended(status, "KeyError", 1.0))
    monkeypatch.setattr(pictures, "run", again)
    fault, alone = pictures.Fault("caching"), run_dir.parent.parent
    pictures.kill_caching(["fit"], fault, alone, tries.Tries(tmp_path, 1, random.Random(0)))
    assert (fault.tries, fault.lost) == (count, lost)


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
