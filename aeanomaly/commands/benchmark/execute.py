"""Handing out cells to processes: of this machine by joblib, of a cluster by Ray."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import FrameType
from typing import Any, TypeAlias

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from aeanomaly.commands.benchmark.grid import Cell
from aeanomaly.errors import Terminated, UserError

# Runs a cell; returns it, and why it failed (empty if it did not).
Work: TypeAlias = Callable[[Cell], tuple[Cell, str]]
_ATTEMPTS = 2  # of a cell whose process dies: once may be chance, twice is the cell


def threads_of_each(workers: int) -> int:
    """What the user has told every program by OMP_NUM_THREADS, else a worker's share of the cores that are ours."""
    told = os.environ.get("OMP_NUM_THREADS", "").strip()
    return int(told) if re.fullmatch(r"0*[1-9][0-9]{0,8}", told) else max(1, joblib.cpu_count() // workers)


def run_here(work: Work, cells: Sequence[Cell], workers: int) -> Iterator[tuple[Cell, str]]:
    """Run cells in ``workers`` processes of this machine and yield each outcome as soon as it is known.

    A cell that fails does not stop the others. If a worker process is killed, joblib gives up all cells in flight; they
    are tried once more in new processes. If this process is killed, the workers end within about a second: joblib's
    would first finish their cells, which the next command is about to run.
    """
    work = partial(_end_together, work, os.getpid())
    waiting, attempts = {cell.name: cell for cell in cells}, dict.fromkeys((cell.name for cell in cells), 0)
    while waiting:
        tasks = [joblib.delayed(work)(cell) for cell in waiting.values()]
        # One cell at a time to each worker: cells take minutes, batching them would leave workers idle.
        run = joblib.Parallel(
            workers, backend="loky", return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs"
        )
        try:
            for cell, reason in run(tasks):
                del waiting[cell.name]
                yield cell, reason
        except TerminatedWorkerError:
            # Which cell's process died is not said, but cells start in order: it is among the first still waiting.
            for cell in list(waiting.values())[:workers]:
                attempts[cell.name] += 1
                if attempts[cell.name] >= _ATTEMPTS:
                    del waiting[cell.name]
                    yield cell, "its process was killed twice (out of memory?)"


def _end_together(work: Work, parent: int, cell: Cell) -> tuple[Cell, str]:
    if os.getpid() != parent:  # one worker is the parent itself
        from aeanomaly.distributed.family import end_with

        end_with(parent)
    return work(cell)


def run_on_ray(
    work: Work, cells: Sequence[Cell], workers: int, threads: int, gpus: float
) -> Iterator[tuple[Cell, str]]:
    """The same on Ray, which keeps a core for each of the ``threads`` of a cell, and a share ``gpus`` of a GPU.

    By tasks: Ray's joblib backend hands out results only when all are there.

    Raises:
        UserError: if Ray is missing, or no machine of the cluster has as much: it would be waited for without end.
    """
    try:
        import ray
    except ImportError:
        raise UserError("--backend ray needs Ray: pip install 'aeanomaly[ray]'") from None
    handler = signal.getsignal(signal.SIGTERM)
    if not ray.is_initialized():
        # RAY_ADDRESS, which `ray.init` reads itself, points to a cluster; without it one is started on this machine.
        cores = None if os.environ.get("RAY_ADDRESS") else max(workers * threads, os.cpu_count() or 1)
        ray.init(num_cpus=cores, log_to_driver=False, include_dashboard=False)
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for option, kind, wanted in (("--threads", "CPU", threads), ("--gpus-per-cell", "GPU", gpus)):
        most = max((each.get(kind, 0) for each in machines), default=0)
        if wanted > most:
            raise UserError(f"{option} is {wanted:g}, and no machine of the Ray cluster has more than {most:g} {kind}s")
    run: Any = ray.remote(max_retries=_ATTEMPTS - 1, num_cpus=threads, num_gpus=gpus)(lambda cell: work(cell))
    waiting = list(cells)
    running: list[Any] = []
    received = _hear_sigterm(handler)
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(run.remote(waiting.pop(0)))
            done, running = ray.wait(running)
            yield from ray.get(done)
    except KeyboardInterrupt:  # which Ray makes of whatever a handler raises while it waits
        raise (Terminated if received else KeyboardInterrupt) from None


def _hear_sigterm(handler: Any) -> list[int]:
    """Give SIGTERM the handler back that it had before Ray's, which leaves at once; its calls are noted in the list."""
    received: list[int] = []

    def noted(number: int, frame: FrameType | None) -> None:
        received.append(number)
        handler(number, frame)

    if threading.current_thread() is threading.main_thread() and callable(handler):
        signal.signal(signal.SIGTERM, noted)
    return received
