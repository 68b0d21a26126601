"""Running one cell, in whatever process it is sent to."""

from __future__ import annotations

import shutil
from pathlib import Path

from aeanomaly.commands.benchmark.grid import Cell
from aeanomaly.commands.fit.logged import fit_logged
from aeanomaly.errors import UserError
from aeanomaly.runs.finding import LOGS
from aeanomaly.runs.lock import LOCK, alone_in
from aeanomaly.runs.reading import Run, read_run

_PATIENCE = 30.0  # seconds for the process of a killed benchmark to notice that it is alone, see `execute`


def cell_folder(out: Path, cell: Cell) -> Path:
    """Where a cell's log and run lie."""
    return out / "cells" / cell.name


def finished_run(out: Path, cell: Cell) -> Run | None:
    """The cell's run if it was tested to the end, else None."""
    runs = map(read_run, sorted((cell_folder(out, cell) / LOGS).glob("version_*")))
    return next((run for run in runs if run.finished), None)


def on_subset(run: Run) -> bool:
    """Whether the run used a part of its data set only."""
    return run.record.get("data_source") == "subset"


def complaint(run: Run, allow_subset: bool) -> str:
    """Why the values of a finished run must not enter a table; empty if they may."""
    if on_subset(run) and not allow_subset:
        return "trained on a subset of the data; --allow-subset accepts that"
    return run.reason


def run_cell(
    cell: Cell, out: Path, threads: int, allow_subset: bool, keep_checkpoints: bool = True
) -> tuple[Cell, str]:
    """Fit and test the cell from its start; what it prints goes to ``log.txt``.

    Its computations use no more than ``threads`` threads, so that parallel cells do not crowd each other out.

    Returns:
        The cell, and why it failed; empty if it did not.

    Raises:
        KeyboardInterrupt: after Ctrl-C.
    """
    # Imported here: the process that only hands out cells does without torch.
    import torch
    from threadpoolctl import threadpool_limits

    from aeanomaly.commands.fit.trainer_cli import AnomalyCLI
    from aeanomaly.commands.process_settings import process_restored

    folder = cell_folder(out, cell)
    log = folder / "log.txt"
    words = [*cell.options, f"--trainer.default_root_dir={folder}", "--trainer.enable_progress_bar=false"]
    try:
        with alone_in(folder, "process", _PATIENCE):
            _empty(folder)
            with fit_logged(folder, words), process_restored(), threadpool_limits(threads):
                torch.set_num_threads(threads)
                AnomalyCLI("fit", words, page=False)
            run = finished_run(out, cell)
            if run is None:
                lines = log.read_text().strip().splitlines()
                return cell, f"{lines[-1].removeprefix('aeanomaly: error: ')}, see {log}"
            if not keep_checkpoints:
                for file in run.path.glob("checkpoints/*.ckpt"):
                    file.unlink()
    except UserError as error:
        return cell, str(error)
    reason = complaint(run, allow_subset)
    return cell, f"{reason}, see {log}" if reason else ""


def _empty(folder: Path) -> None:
    """Remove what an interrupted attempt left: a cell is short enough to be run again as a whole."""
    for left in folder.iterdir():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        elif left.name != LOCK:  # it is held
            left.unlink()
