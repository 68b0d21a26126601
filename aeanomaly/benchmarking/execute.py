"""Handing out cells to processes, by joblib's backends."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from aeanomaly.benchmarking.cell import Outcome, run_cell
from aeanomaly.benchmarking.grid import Cell
from aeanomaly.errors import UserError

Backend = Literal["loky", "ray"]
_ATTEMPTS = 2  # of a cell whose process dies: once may be chance, twice is the cell


def default_threads(workers: int) -> int:
    """Threads for each worker so that all together use every core once."""
    return max(1, (os.cpu_count() or 1) // workers)


def run_cells(
    cells: Sequence[Cell], out: Path, workers: int, threads: int, backend: Backend = "loky", gpus: float = 0
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
    """
    waiting, attempts = {cell.name: cell for cell in cells}, dict.fromkeys((cell.name for cell in cells), 0)
    while waiting:
        in_flight = list(waiting.values())
        started = in_flight[:workers]
        try:
            with _engine(backend, workers, gpus):
                tasks = (joblib.delayed(run_cell)(cell, out, threads) for cell in in_flight)
                # One cell at a time to each worker: cells take minutes, batching them would leave workers idle.
                for outcome in joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs")(
                    tasks
                ):
                    del waiting[outcome.cell.name]
                    yield outcome
        except TerminatedWorkerError:
            # Which cell's worker died is not said. Those that could have been in flight come first and may not again.
            for cell in [cell for cell in in_flight if cell.name in waiting][: max(workers, len(started))]:
                attempts[cell.name] += 1
                if attempts[cell.name] >= _ATTEMPTS:
                    del waiting[cell.name]
                    yield Outcome(cell, "its process was killed twice (out of memory?)")


def _engine(backend: Backend, workers: int, gpus: float) -> AbstractContextManager[Any]:
    if backend == "loky":
        local_engine: AbstractContextManager[Any] = joblib.parallel_config(backend="loky", n_jobs=workers)
        return local_engine
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError:
        raise UserError("--backend ray needs Ray: pip install 'aeanomaly[ray]'") from None
    if not ray.is_initialized():
        # RAY_ADDRESS, which `ray.init` reads itself, points to a cluster; without it one is started on this machine.
        local = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": max(workers, os.cpu_count() or 1)}
        ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False, **local)
    register_ray()
    arguments = {"num_gpus": gpus} if gpus else None
    engine: AbstractContextManager[Any] = joblib.parallel_config("ray", n_jobs=workers, ray_remote_args=arguments)
    return engine
