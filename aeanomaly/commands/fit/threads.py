"""How many threads compute on the CPU, and how they wait; no torch is imported until it is needed.

A small net gains nothing from a second thread, and beside another busy process threads wait for one whose turn it is
not. OpenMP's wait actively, which keeps that one from its turn: a step then takes a hundred times as long.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

# Parameters x images of a batch that are worth a thread: about a millisecond of a step. debug.yaml has 0.3 million,
# base.yaml 60 million.
WORK_OF_A_THREAD = 4_000_000
_SHORTEST = 0.2  # seconds of watching; the kernel counts in hundredths


def wait_passively() -> None:
    """Let OpenMP's threads sleep when they have waited for some microseconds, instead of milliseconds.

    Enough from one operation of a step to the next: with threads that sleep at once base.yaml takes twice as long.
    Read when torch is imported; what the user has set is left alone.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")


class ProcessorWatch:
    """Sees how much others compute on the processors that this process may use, from when it is made.

    Args:
        statistics: Linux's file of processor times; without it all processors are taken to be free.
    """

    def __init__(self, statistics: Path = Path("/proc/stat")) -> None:
        self._statistics = statistics
        try:
            self._allowed = set(os.sched_getaffinity(0))
        except AttributeError:  # not on Linux
            self._allowed = set(range(os.cpu_count() or 1))
        self._start = self._times()

    def _times(self) -> tuple[float, float]:
        """Now, and the seconds that others have computed so far."""
        busy = 0.0
        if self._statistics.is_file():
            for line in self._statistics.read_text().splitlines():
                name, *ticks = line.split()
                if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in self._allowed:
                    user, nice, system, _idle, _waiting, interrupt, soft_interrupt, stolen = map(int, ticks[:8])
                    busy += (user + nice + system + interrupt + soft_interrupt + stolen) / os.sysconf("SC_CLK_TCK")
        own = os.times()
        return time.monotonic(), busy - own.user - own.system

    def free(self) -> int:
        """Processors that were free for this process since the start, rounded, at least 1."""
        now, busy = self._times()
        seconds = now - self._start[0]
        used = (busy - self._start[1]) / seconds if seconds >= _SHORTEST else 0.0
        return max(1, round(len(self._allowed) - used))


def threads_for(work: int, free: int) -> int:
    """As many as the work of a step, parameters x images of a batch, keeps busy, and as processors are free."""
    return max(1, min(free, work // WORK_OF_A_THREAD))


def choose_threads(number: int) -> None:
    """Set the number of threads of the fit that is about to start, unless OMP_NUM_THREADS does."""
    if "OMP_NUM_THREADS" not in os.environ:
        import torch

        torch.set_num_threads(min(torch.get_num_threads(), number))
