"""Where and how often faults are tried, and the small fit that most of them are done to."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from commands import Ended, stopped, wait_for
from fault import Fault

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
RUN = Path("lightning_logs", "version_0")
FIT = ["fit", "--config", str(CONFIGS / "debug.yaml"), "--trainer.max_epochs", "20"]


@dataclass(frozen=True)
class Tries:
    """A folder to work in, how often each fault is tried, and random moments.

    Attributes:
        folder: for what the commands write.
        count: of each fault.
        draw: random moments.
    """

    folder: Path
    count: int
    draw: random.Random

    def until(self, *faults: Fault) -> Iterator[None]:
        """Begin a try until all of these have been tried often enough; no more than twice as often as that.

        A command that ended before it could be stopped was no try.
        """
        for _ in range(2 * self.count):
            if all(fault.tries >= self.count for fault in faults):
                return
            yield

    def place(self, name: str) -> Path:
        """A new working directory."""
        return Path(tempfile.mkdtemp(prefix=f"{name}_", dir=self.folder))


def begun(folder: Path, process: subprocess.Popen[str]) -> float:
    """The moment at which a fit has made its run's directory, waited for."""
    wait_for(lambda: (folder / RUN / "config.yaml").is_file(), process)
    return time.monotonic()


def send(process: subprocess.Popen[str], seconds: float, number: int) -> None:
    """Send a signal after some seconds, unless the command has ended by then."""
    if not over(process, seconds):
        process.send_signal(number)


def over(process: subprocess.Popen[str], seconds: float) -> bool:
    """Whether a command ends within some seconds, which are waited for."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.poll() is not None


def killed(
    tries: Tries, fault: Fault, words: Sequence[str], seconds: float, place: Callable[[], Path]
) -> Iterator[tuple[Path, Ended]]:
    """Kill a command at random moments, as often as the fault is to be tried: its folder, and how it ended, each time.

    Args:
        seconds: that the command takes.
        place: makes a folder for it.
    """
    for _ in tries.until(fault):
        folder, moment = place(), tries.draw.uniform(0.3, 0.95) * seconds
        ended = stopped(words, folder, partial(send, seconds=moment, number=signal.SIGKILL))
        if ended.status == 0:
            seconds = ended.seconds  # the machine has less to do by now
        else:
            yield folder, ended


def undisturbed(words: Sequence[str], tries: Tries) -> tuple[Path, float]:
    """The folder of a fit that is left alone, and its seconds from when it had begun."""
    alone, began = tries.place("alone"), list[float]()
    whole = stopped(words, alone, lambda process: began.append(begun(alone, process)))
    length = time.monotonic() - began[0]
    assert whole.status == 0, whole.said
    return alone, length


def not_refused(ended: Ended, *parts: str) -> list[str]:
    """What is missing for a refusal: status 2 and, as the last line and the only one of an error, these words."""
    lines = [line for line in ended.said.splitlines() if line.startswith("aeanomaly: error: ")]
    if ended.status == 2 and lines == [ended.last_line] and all(part in ended.last_line for part in parts):
        return []
    return [f"status {ended.status}: {ended.last_line}"]
