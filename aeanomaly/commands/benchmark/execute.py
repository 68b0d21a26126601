"""Handing out cells to processes: of this machine by joblib, of a cluster by Ray."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from aeanomaly.commands.benchmark.cell import Outcome, run_cell
from aeanomaly.commands.benchmark.grid import Cell
from aeanomaly.errors import UserError

Backend = Literal["loky", "ray"]
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
    """The same on Ray, by tasks: its joblib backend hands out results only when all are there."""
    try:
        import ray
    except ImportError:
        raise UserError("--backend ray needs Ray: pip install 'aeanomaly[ray]'") from None
    if not ray.is_initialized():
        # RAY_ADDRESS, which `ray.init` reads itself, points to a cluster; without it one is started on this machine.
        cores = None if os.environ.get("RAY_ADDRESS") else max(workers, os.cpu_count() or 1)
        ray.init(num_cpus=cores, log_to_driver=False, include_dashboard=False)
    share: dict[str, Any] = {"num_gpus": gpus} if gpus else {}
    run: Any = ray.remote(max_retries=_ATTEMPTS - 1, **share)(run_cell)
    waiting = list(cells)
    running: list[Any] = []
    while waiting or running:
        while waiting and len(running) < workers:
            running.append(run.remote(waiting.pop(0), out, threads, allow_subset))
        done, running = ray.wait(running)
        yield from ray.get(done)
