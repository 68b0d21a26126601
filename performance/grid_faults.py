"""Faults that are done to commands of many fits."""

from __future__ import annotations

import signal

from commands import run, stopped
from endings import without_comments
from fault import Fault
from tries import CONFIGS, Tries, send

PLANS = {
    "benchmark": ["--config", str(CONFIGS / "benchmark" / "debug.yaml"), "--workers", "2", "--threads", "1"],
    "sweep": ["--config", str(CONFIGS / "sweep" / "debug.yaml"), "--trials", "6"],
}
RESULTS = {"benchmark": "results.csv", "sweep": "best.yaml"}


def killed_grids(tries: Tries) -> list[Fault]:
    """A benchmark and a sweep whose process is killed, then the same command."""
    found = []
    for command, options in PLANS.items():
        words, fault = [command, *options, "--out", "out"], Fault(f"{command}: kill -9, then the same command")
        alone = tries.place(command)
        (alone / "configs").symlink_to(CONFIGS)
        whole = run(words, alone)
        assert whole.status == 0, whole.said
        for _ in range(tries.count):
            folder = tries.place(command)
            (folder / "configs").symlink_to(CONFIGS)
            moment = tries.draw.uniform(0.3, 0.95) * whole.seconds
            if stopped(words, folder, lambda p, m=moment: send(p, m, signal.SIGKILL)).status == 0:
                continue
            again = run(words, folder)
            texts = [without_comments(place / "out" / RESULTS[command]) for place in (folder, alone)]
            wrong = [] if texts[0] == texts[1] else [RESULTS[command]]
            fault.note(again, wrong if again.status == 0 else [again.last_line])
        found.append(fault)
    return found
