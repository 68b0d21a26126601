"""Handing out cells to processes, by joblib's backends."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from aeanomaly.commands.benchmark.cell import Outcome, complaint, finished_run, run_cell
from aeanomaly.commands.benchmark.grid import Cell
from aeanomaly.errors import UserError

Backend = Literal["loky", "ray"]
_POLL_SECONDS = 0.5
_ATTEMPTS = 2  # of a cell whose process dies: once may be chance, twice is the cell


def default_threads(workers: int) -> int:
    """Threads for each worker so that all together use every core once."""
    return max(1, (os.cpu_count() or 1) // workers)


def run_cells(
    cells: Sequence[Cell],
    out: Path,
    workers: int,
    threads: int,
    backend: Backend = "loky",
    gpus: float = 0,
    allow_subset: bool = False,
) -> Iterator[Outcome]:
    """Run cells in parallel and yield each outcome as soon as it is known.

    A cell that fails does not stop the others. If a worker process is killed, joblib gives up all cells in flight; they
    are tried once more in new processes.

    Args:
        cells: what to run, in this order.
        out: folder of the benchmark.
        workers: cells at a time.
        threads: for each of them.
        backend: ``loky``, processes of this machine, or ``ray``, a cluster.
        gpus: share of a GPU that Ray reserves for each cell.
        allow_subset: whether a run on a part of its data set counts.
    """
    if backend == "ray":
        yield from _run_on_ray(cells, out, workers, threads, gpus, allow_subset)
        return
    waiting, attempts = {cell.name: cell for cell in cells}, dict.fromkeys((cell.name for cell in cells), 0)
    while waiting:
        in_flight = list(waiting.values())
        tasks = [joblib.delayed(run_cell)(cell, out, threads, allow_subset) for cell in in_flight]
        # One cell at a time to each worker: cells take minutes, batching them would leave workers idle.
        run = joblib.Parallel(
            workers, backend="loky", return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs"
        )
        try:
            for outcome in run(tasks):
                del waiting[outcome.cell.name]
                yield outcome
        except TerminatedWorkerError:
            # Which cell's process died is not said, but cells start in order: it is among the first still waiting.
            for cell in list(waiting.values())[:workers]:
                attempts[cell.name] += 1
                if attempts[cell.name] >= _ATTEMPTS:
                    del waiting[cell.name]
                    yield Outcome(cell, "its process was killed twice (out of memory?)")


def _run_on_ray(
    cells: Sequence[Cell], out: Path, workers: int, threads: int, gpus: float, allow_subset: bool
) -> Iterator[Outcome]:
    """The same on Ray, whose joblib backend hands out results only when all are there.

    So the outcome of a cell is seen from its run directory, which lies on a file system that all machines share.
    """
    _connect_to_ray(workers)
    results: list[list[Outcome] | BaseException] = []

    def run() -> None:
        arguments = {"num_gpus": gpus} if gpus else None
        try:
            with joblib.parallel_config("ray", n_jobs=workers, ray_remote_args=arguments):
                tasks = [joblib.delayed(run_cell)(cell, out, threads, allow_subset) for cell in cells]
                results.append(joblib.Parallel(batch_size=1, pre_dispatch="all")(tasks))
        except BaseException as error:  # to be raised in the thread that waits
            results.append(error)

    # A daemon, so that Ctrl-C ends the program although cells are in flight.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    waiting = {cell.name: cell for cell in cells}
    while thread.is_alive():
        thread.join(_POLL_SECONDS)
        for cell in list(waiting.values()):
            finished = finished_run(out, cell)
            if finished is not None:
                yield Outcome(waiting.pop(cell.name), complaint(finished, allow_subset))
    (result,) = results
    if isinstance(result, BaseException):
        raise result
    yield from (outcome for outcome in result if outcome.cell.name in waiting)


def _connect_to_ray(workers: int) -> None:
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError:
        raise UserError("--backend ray needs Ray: pip install 'aeanomaly[ray]'") from None
    if not ray.is_initialized():
        # RAY_ADDRESS, which `ray.init` reads itself, points to a cluster; without it one is started on this machine.
        cores = None if os.environ.get("RAY_ADDRESS") else max(workers, os.cpu_count() or 1)
        ray.init(num_cpus=cores, log_to_driver=False, include_dashboard=False)
    register_ray()
