"""What the rounds of train_speed.py and nets_and_scores.py have measured."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping

from clocks import now


class Times:
    """Seconds per epoch, or per call, of each row: the counted ones by round, and the first ones."""

    def __init__(self) -> None:
        self.counted: dict[str, list[float]] = {}
        self.first: dict[str, list[float]] = {}
        self.limits: dict[str, str] = {}  # which limit a row is to be held against
        self.reported: list[float] = []  # images per second according to metrics.json of `fit`

    def add(self, row: str, epochs: list[float], scale: float = 1.0) -> None:
        """Account for one process."""
        self.counted.setdefault(row, []).append(scale * statistics.mean(epochs[1:]))
        self.first.setdefault(row, []).append(scale * epochs[0])

    def seconds(self, row: str) -> float:
        """The median over the rounds."""
        return statistics.median(self.counted[row])

    def ratio(self, row: str, other: str) -> float:
        """The median ratio within a round; NaN where one of the two was not measured."""
        if other == "limit":
            other = self.limits.get(row, "limit float32")
        if row not in self.counted or other not in self.counted:
            return math.nan
        return statistics.median(a / b for a, b in zip(self.counted[row], self.counted[other], strict=True))


def measure(ways: Mapping[str, Callable[[], object]], rounds: int, seconds: float) -> Times:
    """Seconds of a call of each way, in turn, each repeated for so long in a round after a first call."""
    times = Times()
    for _ in range(rounds):
        for row, way in ways.items():
            taken: list[float] = []
            while len(taken) < 2 or sum(taken[1:]) < seconds:
                start = now()
                way()
                taken.append(now() - start)
            times.add(row, taken)
    return times
