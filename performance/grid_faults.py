"""Faults that are done to commands of many fits."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from commands import Ended, children, run, stopped
from endings import without_comments
from fault import Fault
from tries import CONFIGS, Tries, killed, over

PLANS = {
    "benchmark": ["--config", str(CONFIGS / "benchmark" / "debug.yaml"), "--workers", "2", "--threads", "1"],
    "sweep": ["--config", str(CONFIGS / "sweep" / "debug.yaml"), "--trials", "6"],
}
RESULTS = {"benchmark": ("results.csv", "summary.md"), "sweep": ("best.yaml",)}


def killed_grids(tries: Tries) -> list[Fault]:
    """A benchmark and a sweep whose process is killed, then the same command; a benchmark that loses a worker."""
    return [_killed("benchmark", tries), _lamed(tries), _killed("sweep", tries)]


def _killed(command: str, tries: Tries) -> Fault:
    fault = Fault(f"{command}: kill -9, then the same command")
    words, alone, length = _undisturbed(command, tries)
    for folder, ended in killed(tries, fault, words, length, partial(_place, command, tries)):
        again, wrong = _outcome(run(words, folder), command, folder, alone)
        fault.note(again, ended.not_with(-signal.SIGKILL) or wrong)
    return fault


def _lamed(tries: Tries) -> Fault:
    fault = Fault("benchmark: kill -9 of a worker")
    words, alone, length = _undisturbed("benchmark", tries)
    for _ in tries.until(fault):
        folder, victims = _place("benchmark", tries), list[int]()
        ended = stopped(words, folder, _kill_worker(tries.draw.uniform(0.3, 0.95) * length, victims))
        if victims:
            fault.note(*_outcome(ended, "benchmark", folder, alone))
        else:
            length = ended.seconds
    return fault


def _undisturbed(command: str, tries: Tries) -> tuple[list[str], Path, float]:
    """The words of a command, the folder of one that was left alone, and its seconds."""
    words, alone = [command, *PLANS[command], "--out", "out"], _place(command, tries)
    whole = run(words, alone)
    assert whole.status == 0, whole.said
    return words, alone, whole.seconds


def _place(command: str, tries: Tries) -> Path:
    folder = tries.place(command)
    (folder / "configs").symlink_to(CONFIGS)
    return folder


def _kill_worker(moment: float, victims: list[int]) -> Callable[[subprocess.Popen[str]], None]:
    """Kill a worker of joblib some seconds after the command began, and note it; none may be there yet, or any more."""

    def kill(process: subprocess.Popen[str]) -> None:
        for child in () if over(process, moment) else children(process.pid):
            with contextlib.suppress(OSError):
                if b"LokyProcess" in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(child, signal.SIGKILL)
                    victims.append(child)
                    return

    return kill


def _outcome(ended: Ended, command: str, folder: Path, alone: Path) -> tuple[Ended, list[str]]:
    """How the last command ended, and what differs from the folder of one that was left alone."""
    if ended.status:
        return ended, [ended.last_line]
    places = (folder / "out", alone / "out")
    pairs = {name: [without_comments(place / name) for place in places] for name in RESULTS[command]}
    return ended, [name for name, (found, expected) in pairs.items() if found != expected]
