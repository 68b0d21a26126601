"""Running one cell, in whatever process it is sent to."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from aeanomaly.commands.benchmark.grid import Cell
from aeanomaly.commands.fit.logged import fit_logged
from aeanomaly.errors import UserError
from aeanomaly.runs.layout import LOGS
from aeanomaly.runs.reading import read_run


@dataclass(frozen=True)
class Outcome:
    """How a cell went; ``reason`` is empty if it finished."""

    cell: Cell
    reason: str = ""


def cell_folder(out: Path, cell: Cell) -> Path:
    """Where a cell's log and run lie."""
    return out / "cells" / cell.name


def finished_run(out: Path, cell: Cell) -> Path | None:
    """The cell's run directory if it was tested to the end, else None."""
    runs = sorted((cell_folder(out, cell) / LOGS).glob("version_*"))
    return next((path for path in runs if "test_seconds" in read_run(path).record), None)


def complaint(run: Path, allow_subset: bool) -> str:
    """Why the values of a finished run must not enter a table; empty if they may."""
    state = read_run(run)
    if state.record.get("data_source") == "subset" and not allow_subset:
        return "trained on a subset of the data; --allow-subset accepts that"
    return state.reason


def run_cell(cell: Cell, out: Path, threads: int, allow_subset: bool = False) -> Outcome:
    """Fit and test the cell from its start, with what it prints in ``log.txt``.

    Args:
        cell: what to run.
        out: folder of the benchmark.
        threads: how many threads its computations may use, so that parallel cells do not crowd each other out.
        allow_subset: whether a run on a part of its data set counts.

    Raises:
        KeyboardInterrupt: after Ctrl-C.
    """
    # Imported here: the process that only hands out cells does without torch.
    import torch
    from threadpoolctl import threadpool_limits

    from aeanomaly.commands.fit.trainer_cli import AnomalyCLI
    from aeanomaly.commands.process_settings import process_restored

    folder = cell_folder(out, cell)
    if folder.exists():  # what an interrupted attempt left; a cell is short enough to be run again as a whole
        shutil.rmtree(folder)
    log = folder / "log.txt"
    words = [*cell.options, f"--trainer.default_root_dir={folder}", "--trainer.enable_progress_bar=false"]
    try:
        with fit_logged(folder, words), process_restored(), threadpool_limits(threads):
            torch.set_num_threads(threads)
            AnomalyCLI("fit", words)
    except UserError as error:
        return Outcome(cell, str(error))
    run = finished_run(out, cell)
    if run is None:
        lines = log.read_text().strip().splitlines()
        return Outcome(cell, f"{lines[-1].removeprefix('aeanomaly: error: ')}, see {log}")
    reason = complaint(run, allow_subset)
    return Outcome(cell, f"{reason}, see {log}" if reason else "")
