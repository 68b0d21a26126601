"""Ctrl-C and SIGTERM end a command alike: one line says what is kept, and the status which of them it was."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from aeanomaly.errors import Terminated


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Have SIGTERM raise `Terminated` inside, wherever the command is, as Ctrl-C raises KeyboardInterrupt.

    A second one changes nothing, because Slurm and torchrun may each send one. A fit in the same process has a handler
    of its own while it trains.
    """
    received = False

    def interrupt(*_: object) -> None:
        nonlocal received
        if not received:
            received = True
            raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread: whoever runs us there handles signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def exit_status(interruption: KeyboardInterrupt) -> int:
    """128 + the number of the signal, as a shell has it."""
    return 128 + (signal.SIGTERM if isinstance(interruption, Terminated) else signal.SIGINT)


def tell(interruption: KeyboardInterrupt, what: str = "", shown_on: TextIO | None = None) -> None:
    """Say that the command ends and what is kept, in one line, unless it was said before.

    Args:
        interruption: it notes that this was said.
        what: is kept, and how to go on; empty if there is nothing to say.
        shown_on: where whoever pressed Ctrl-C looks; stderr by default. After SIGTERM it is always stderr.
    """
    if interruption.args:
        return
    terminated = isinstance(interruption, Terminated)
    said = f"{'Terminated' if terminated else 'Interrupted'}{f': {what}' if what else '.'}"
    print(said, file=sys.stderr if terminated or shown_on is None else shown_on, flush=True)
    interruption.args = (said,)
