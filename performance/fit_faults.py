"""Faults that are done to fits."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from commands import children, run, stopped
from endings import differences
from fault import Fault
from tries import CONFIGS, FIT, RUN, Tries, begun, over, send, undisturbed

from aeanomaly.runs.reading import read_run

AT_ONCE = 10.0  # seconds within which a fit that is interrupted twice must have left


def killed_fits(tries: Tries) -> list[Fault]:
    """A fit that is killed, told to end, or whose disk is full, then ``fit --resume``."""
    alone, length = undisturbed(FIT, tries)
    size = (alone / RUN / "checkpoints" / "last.ckpt").stat().st_size
    killed = Fault("fit: kill -9, then fit --resume")
    told = Fault("fit: SIGTERM, then fit --resume")
    full = Fault("fit: disk full, then fit --resume")
    for _ in tries.until(killed, told, full):
        moment = tries.draw.uniform(0, 0.95 * length)
        one_fit(FIT, killed, alone, tries, lambda p, m=moment: send(p, m, signal.SIGKILL), (-9,))
        one_fit(FIT, told, alone, tries, lambda p, m=moment: send(p, m, signal.SIGTERM), (143, -15))
        room = int(tries.draw.uniform(0.05, 1.5) * size)
        one_fit(FIT, full, alone, tries, lambda p: None, (2,), room)
    return [killed, told, full]


def killed_processes(tries: Tries) -> list[Fault]:
    """A fit of two processes that loses the first or the second to ``kill -9``, then ``fit --resume``."""
    words = [*FIT, "--config", str(CONFIGS / "devices" / "ddp.yaml"), "--trainer.accelerator", "cpu"]
    alone, length = undisturbed(words, tries)
    names = (f"fit: kill -9 of the {which} of two processes, then fit --resume" for which in ("first", "second"))
    first, second = map(Fault, names)
    for _ in tries.until(first, second):
        moment = tries.draw.uniform(0, 0.95 * length)
        one_fit(words, first, alone, tries, lambda p, m=moment: send(p, m, signal.SIGKILL), (-9,))

        victims: list[int] = []

        def kill_second(process: subprocess.Popen[str], moment: float = moment, victims: list[int] = victims) -> None:
            if not over(process, moment):
                victims += children(process.pid)  # none where the second has done its part and ended
                for child in victims:
                    with contextlib.suppress(ProcessLookupError):  # it may end at this moment
                        os.kill(child, signal.SIGKILL)

        one_fit(words, second, alone, tries, kill_second, (0, 2, -9), done_to=victims)
    return [first, second]


def one_fit(
    words: Sequence[str],
    fault: Fault,
    alone: Path,
    tries: Tries,
    stop: Callable[[subprocess.Popen[str]], None],
    statuses: Sequence[int],
    room: int | None = None,
    done_to: Sequence[int] = (),
) -> None:
    """One try: stop a fit, resume it, and account for how it ended. One that ended before is no try.

    A fault that was tried often enough is not tried again.

    Args:
        words: of the fit.
        fault: the line of the table.
        alone: the folder of the same fit, left alone.
        tries: gives a folder.
        stop: what is done to the process once its run has begun.
        statuses: with which it may end then.
        room: bytes beyond which no file can grow.
        done_to: filled by ``stop``: processes it has killed. If there are any, a fit that ends well is a try.
    """
    if fault.tries >= tries.count:
        return
    folder = tries.place("fit")
    ended = stopped(words, folder, lambda process: (begun(folder, process), stop(process)), room)
    if ended.status == 0 and not done_to:
        return
    wrong = ended.not_with(*statuses)
    if read_run(folder / RUN).finished:  # the page of the run may be missing
        fault.note(ended, [*wrong, *differences(folder / RUN, alone / RUN)])
        return
    if ended.status > 0:
        fault.said = ended.last_line.replace(f"{folder}/", "")
    there = (folder / RUN / "config.yaml").is_file()
    again = run(["fit", "--resume"] if there else words, folder)
    wrong += again.not_with(0)
    fault.note(again, [*wrong, *differences(folder / RUN, alone / RUN)])


# -2 is what a shell calls 130, too: the second came when Python was about to end.
def interrupted_twice(tries: Tries) -> list[Fault]:
    """A fit that is interrupted twice: how long it takes to leave."""
    fault = Fault("fit: Ctrl-C twice leaves at once (seconds)", limit=AT_ONCE)
    for _ in range(tries.count):
        folder, left = tries.place("twice"), [0.0]

        def press(process: subprocess.Popen[str], folder: Path = folder, left: list[float] = left) -> None:
            begun(folder, process)
            send(process, tries.draw.uniform(0, 1), signal.SIGINT)
            send(process, 0.1, signal.SIGINT)
            left[0] = time.monotonic()

        ended = stopped([*FIT, "--trainer.max_epochs", "500"], folder, press)
        fault.said = ended.last_line
        fault.note(
            ended._replace(seconds=time.monotonic() - left[0]),
            [] if ended.status in (130, -2) else [f"status {ended.status}"],
        )
    return [fault]
