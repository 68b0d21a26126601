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
        limit: of the seconds; a try that takes longer has gone wrong. None where any time will do.
    """

    name: str
    tries: int = 0
    lost: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    said: str = ""
    limit: float | None = None

    def note(self, ended: Ended, wrong: Sequence[str]) -> None:
        """Account for a try."""
        self.tries += 1
        self.seconds.append(ended.seconds)
        if self.limit is not None and ended.seconds > self.limit:
            wrong = [*wrong, f"{ended.seconds:.1f} s, more than {self.limit:g}"]
        traceback = [f"a traceback: {' '.join(ended.said.split())[-500:]}"] if "Traceback" in ended.said else []
        if reasons := [*wrong[:1], *traceback]:
            self.lost.append("; ".join(reasons))  # one entry a try, as they are counted

    def row(self) -> list[str]:
        """Its cells."""
        middle = sorted(self.seconds)[len(self.seconds) // 2] if self.seconds else 0.0
        return [self.name, str(self.tries), str(self.tries - len(self.lost)), f"{middle:.1f}"]

    def sentences(self) -> list[str]:
        """What is said of it below the table: the longest try where time matters, what was read, what was lost."""
        longest = f"{self.name}. The longest took {max(self.seconds, default=0.0):.1f} s"
        found = [f"{longest}, and may take {self.limit:g}."] if self.limit is not None else []
        found += [f"{self.name}. What was read last: `{self.said}`"] if self.said else []
        return found + [f"{self.name}: {lost}" for lost in self.lost]
