"""The command line in several processes: started by Lightning, or by the test as a job scheduler would start them."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L

from aeanomaly.commands.main import main
from tests.conftest import PLAIN, REPOSITORY

DDP = [*PLAIN, "--config", str(REPOSITORY / "configs/devices/ddp.yaml"), "--trainer.accelerator", "cpu"]


class Ended(NamedTuple):
    """How a process ended, and what it said on both streams."""

    status: int
    said: str


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def run_commands(commands: list[list[str]], folder: Path, limit: float = 120, patience: float = 0) -> list[Ended]:
    """Run commands at the same time, and see that they end in time and leave no process behind.

    Args:
        commands: the words of each.
        folder: for what they say.
        limit: seconds for all of them.
        patience: seconds that processes which they have started may take longer.
    """
    outputs = [folder / f"said_{number}.txt" for number in range(len(commands))]
    deadline = time.monotonic() + limit
    processes = []
    for words, output in zip(commands, outputs, strict=True):
        with output.open("w") as stream:
            processes.append(
                subprocess.Popen(words, cwd=REPOSITORY, stdout=stream, stderr=stream, start_new_session=True)
            )
    try:
        statuses = [process.wait(max(0.0, deadline - time.monotonic())) for process in processes]
        until = time.monotonic() + patience
        while time.monotonic() < until and any(_running(process.pid) for process in processes):
            time.sleep(0.1)
        left = [line for process in processes for line in _running(process.pid)]
        assert not left, f"a process outlived the command that started it: {left}"
    finally:
        for process in processes:
            if _running(process.pid):
                os.killpg(process.pid, signal.SIGKILL)
    return [Ended(status, output.read_text()) for status, output in zip(statuses, outputs, strict=True)]


def _running(group: int) -> list[list[str]]:
    """The processes of a group; one that has ended may have to wait until somebody asks for its status."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return []
    words = ["ps", "-A", "-o", "pgid=,stat=,args="]
    listed = [line.split(maxsplit=2) for line in subprocess.check_output(words, text=True).splitlines()]
    return [args for pgid, state, *args in listed if int(pgid) == group and not state.startswith("Z")]


def run_forked(words: list[str], count: int, folder: Path, limit: float = 60) -> list[Ended]:
    """Run one command as ``count`` processes of one group, each with its rank in the environment.

    They are forked, see `_forked`.
    """
    port, deadline = free_port(), time.monotonic() + limit
    outputs = [folder / f"said_{rank}.txt" for rank in range(count)]
    words = [*words, "--trainer.devices", str(count)]
    processes = [_forked(_run_as_rank, words, rank, count, port, str(outputs[rank])) for rank in range(count)]
    try:
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
        assert all(process.exitcode is not None for process in processes), "a process hangs"
        return [Ended(process.exitcode or 0, o.read_text()) for process, o in zip(processes, outputs, strict=True)]
    finally:
        for process in processes:
            process.kill()


def _run_as_rank(words: list[str], rank: int, count: int, port: int, output: str) -> None:
    _say_in(output)
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": str(count)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    sys.exit(main(words))


def run_script(script: Path, options: Sequence[str], folder: Path, limit: float = 120) -> Ended:
    """Run a script as ``python script options`` in the repository, forked from the same server."""
    output = folder / "said.txt"
    status = _status(_forked(_run_path, str(script), list(options), str(output)), limit)
    return Ended(status, output.read_text())


def _run_path(script: str, options: list[str], output: str) -> None:
    _say_in(output)
    os.chdir(REPOSITORY)
    sys.argv, sys.path[0] = [script, *options], str(Path(script).parent)
    runpy.run_path(script, run_name="__main__")


def _forked(target: Callable[..., None], *args: Any) -> Any:
    """A process, started, of a server that has imported torch and lightning already, which saves most of the time."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["aeanomaly.commands.fit.trainer_cli"])
    process = context.Process(target=target, args=args, daemon=True)
    process.start()
    return process


def _status(process: Any, limit: float) -> int:
    """How a process ended; one that hangs is killed."""
    process.join(limit)
    status: int | None = process.exitcode
    process.kill()
    assert status is not None, "the process hangs"
    return status


def _say_in(output: str) -> None:
    """Have both streams of this process write into a file."""
    stream = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(stream, 1)
    os.dup2(stream, 2)


def run_alone(words: list[str], limit: float = 60) -> int:
    """The status with which a process of this command ends, forked from the same server."""
    return _status(_forked(_run, words), limit)


def _run(words: list[str]) -> None:
    sys.exit(main(words))


class DieInFit(L.Callback):
    """Ends the process as ``kill -9`` does, when a fit has taken so many steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Die."""
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


class DieInTest(L.Callback):
    """Ends the process as ``kill -9`` does, when the fit is over."""

    def on_test_start(self, *_: Any) -> None:
        """Die."""
        os.kill(os.getpid(), signal.SIGKILL)


class TerminateInTest(L.Callback):
    """Sends SIGTERM to its own process when the fit is over."""

    def on_test_start(self, *_: Any) -> None:
        """Send it."""
        signal.raise_signal(signal.SIGTERM)


class SleepInFit(L.Callback):
    """Holds a fit up for as many seconds as the environment says, for a test that must meet it at work."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Sleep."""
        time.sleep(float(os.environ.get("SLEEP_IN_FIT", 0)))


def fitted_by_two_and_by_one(options: Sequence[str], folder: Path) -> tuple[Path, Path]:
    """The runs of the same fit by two processes and by one."""
    processes = run_forked(["fit", *DDP, *options, "--trainer.default_root_dir", str(folder / "two")], 2, folder, 150)
    assert [process.status for process in processes] == [0, 0], processes
    assert main(["fit", *PLAIN, *options, "--trainer.default_root_dir", str(folder / "one")]) == 0
    two, one = (folder / part / "lightning_logs" / "version_0" for part in ("two", "one"))
    return two, one
