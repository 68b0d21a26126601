"""Commands that are stopped, or run short of room, as faults do it to them."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

LIMIT = 300  # seconds, after which a command counts as hanging


class Ended(NamedTuple):
    """How a command ended, what it said, and after how many seconds."""

    status: int
    said: str
    seconds: float

    @property
    def last_line(self) -> str:
        """What it said last."""
        return (self.said.strip().splitlines() or [""])[-1]

    def not_with(self, *statuses: int) -> list[str]:
        """What is wrong if it ended with none of these statuses; nothing if with one of them."""
        return [] if self.status in statuses else [f"status {self.status}: {self.last_line}"]


@contextlib.contextmanager
def started(words: Sequence[str], folder: Path, room: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """``python -m aeanomaly`` with these words in a folder, ended with all that it has started when the block is left.

    Args:
        words: the command and its options.
        folder: the working directory.
        room: bytes beyond which no file can grow, as on a full disk; None for no limit.
    """

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
        if room is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    process = subprocess.Popen(
        [sys.executable, "-m", "aeanomaly", *words],
        cwd=folder,
        stdout=subprocess.PIPE,  # no file, which could not grow either
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=prepare,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run(words: Sequence[str], folder: Path, room: int | None = None) -> Ended:
    """Run a command to its end."""
    return stopped(words, folder, lambda process: None, room)


def stopped(
    words: Sequence[str], folder: Path, stop: Callable[[subprocess.Popen[str]], None], room: int | None = None
) -> Ended:
    """Run a command, do something to it, and see how it ends."""
    begin = time.monotonic()
    with started(words, folder, room) as process:
        stop(process)
        status = process.wait(LIMIT)  # not for what it has started, which may outlive it and hold the pipe open
    assert process.stdout is not None
    with process.stdout:
        return Ended(status, process.stdout.read(), time.monotonic() - begin)


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until something is the case, or the command has ended."""
    deadline = time.monotonic() + LIMIT
    while not condition() and process.poll() is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the command hangs: {process.args}")
        time.sleep(0.01)


def children(process: int) -> list[int]:
    """The processes that this one has started and that have not ended."""
    listed = subprocess.run(["ps", "-o", "pid=,stat=", "--ppid", str(process)], capture_output=True, text=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    return [int(number) for number, state in rows if not state.startswith("Z")]
