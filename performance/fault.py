"""One line of the table of faults.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from commands import Ended


@dataclass
class Fault:
    """One line of the table.

    Attributes:
        name: what was done.
        tries: how often.
        lost: for each try that did not end like an undisturbed command, what differed.
        seconds: of the commands that put it right.
        said: what the user was told last, by the command that was stopped.
    """

    name: str
    tries: int = 0
    lost: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    said: str = ""

    def note(self, ended: Ended, wrong: Sequence[str]) -> None:
        """Account for a try."""
        self.tries += 1
        self.seconds.append(ended.seconds)
        traceback = [f"a traceback: {' '.join(ended.said.split())[-500:]}"] if "Traceback" in ended.said else []
        if reasons := [*wrong[:1], *traceback]:
            self.lost.append("; ".join(reasons))  # one entry a try, as they are counted

    def row(self) -> list[str]:
        """Its cells."""
        middle = sorted(self.seconds)[len(self.seconds) // 2] if self.seconds else 0.0
        return [self.name, str(self.tries), str(self.tries - len(self.lost)), f"{middle:.1f}"]
