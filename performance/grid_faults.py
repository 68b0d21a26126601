"""Faults that are done to commands of many fits."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from commands import Ended, children, run, stopped
from endings import without_comments
from fault import Fault
from tries import CONFIGS, Tries, send

PLANS = {
    "benchmark": ["--config", str(CONFIGS / "benchmark" / "debug.yaml"), "--workers", "2", "--threads", "1"],
    "sweep": ["--config", str(CONFIGS / "sweep" / "debug.yaml"), "--trials", "6"],
}
RESULTS = {"benchmark": ("results.csv", "summary.md"), "sweep": ("best.yaml",)}


def killed_grids(tries: Tries) -> list[Fault]:
    """A benchmark and a sweep whose process is killed, then the same command; a benchmark that loses a worker."""
    killed = {command: Fault(f"{command}: kill -9, then the same command") for command in PLANS}
    lamed = Fault("benchmark: kill -9 of a worker; it tries the cell again")
    for command, fault in killed.items():
        words, alone = [command, *PLANS[command], "--out", "out"], _place(command, tries)
        whole = run(words, alone)
        assert whole.status == 0, whole.said
        for _ in range(tries.count):
            moment = tries.draw.uniform(0.3, 0.95) * whole.seconds
            folder = _place(command, tries)
            if stopped(words, folder, partial(send, seconds=moment, number=signal.SIGKILL)).status != 0:
                fault.note(*_outcome(run(words, folder), command, folder, alone))
            if command == "benchmark":
                folder, victims = _place(command, tries), list[int]()
                ended = stopped(words, folder, _kill_worker(moment, victims))
                if victims:
                    lamed.note(*_outcome(ended, command, folder, alone))
    return [killed["benchmark"], lamed, killed["sweep"]]


def _place(command: str, tries: Tries) -> Path:
    folder = tries.place(command)
    (folder / "configs").symlink_to(CONFIGS)
    return folder


def _kill_worker(moment: float, victims: list[int]) -> Callable[[subprocess.Popen[str]], None]:
    """Kill a worker of joblib some seconds after the command began, and note it; none may be there yet, or any more."""

    def kill(process: subprocess.Popen[str]) -> None:
        time.sleep(moment)
        for child in children(process.pid):
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
