"""Ctrl-C and SIGTERM end a command with one line and a status of their own."""

from __future__ import annotations

import signal
import sys
import threading

import pytest

from aeanomaly.commands import main as command_line
from aeanomaly.commands.interruption import sigterm_interrupts, tell
from aeanomaly.errors import Terminated


def test_sigterm_interrupts_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with sigterm_interrupts():
        with pytest.raises(Terminated):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)  # of Slurm, while what is kept is being written
    assert signal.getsignal(signal.SIGTERM) is before


def test_in_a_thread_signals_are_left_to_others() -> None:
    before, inside = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with sigterm_interrupts():
            inside.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [before]


@pytest.mark.parametrize(
    ("kind", "what", "out", "err", "status"),
    [
        (KeyboardInterrupt, "all is kept", "Interrupted: all is kept\n", "", 130),
        (KeyboardInterrupt, "", "", "Interrupted.\n", 130),
        (Terminated, "all is kept", "", "Terminated: all is kept\n", 143),
        (Terminated, "", "", "Terminated.\n", 143),
    ],
)
def test_one_line_and_the_status(
    kind: type[KeyboardInterrupt],
    what: str,
    out: str,
    err: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of a command that knows what is kept and says so, and of one that does not."""

    def work(*_: object) -> int:
        interruption = kind()
        if what:
            tell(interruption, what, shown_on=sys.stdout)
        raise interruption

    monkeypatch.setattr(command_line, "_run", work)
    assert command_line.main(["predict"]) == status
    assert capsys.readouterr() == (out, err)
