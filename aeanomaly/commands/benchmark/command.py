"""``benchmark``: the table of a paper, by one command that can be interrupted and resumed."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import shlex
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.progress import track

from aeanomaly.commands.benchmark.cell import complaint, finished_run, run_cell
from aeanomaly.commands.benchmark.grid import Cell, Grid, read_grid
from aeanomaly.commands.benchmark.results import collect, kept_rows, named_scores, results_csv
from aeanomaly.commands.fit.early import refuse_early
from aeanomaly.commands.interruption import exit_status, sigterm_interrupts, tell
from aeanomaly.commands.parser import CommandParser, count
from aeanomaly.errors import UserError
from aeanomaly.runs.files import read_config, write_whole
from aeanomaly.runs.finding import LOGS
from aeanomaly.runs.lock import alone_in
from aeanomaly.runs.reading import Run

_DESCRIPTION = """\
Run a grid of fits (classes x methods x seeds) and make the tables and figures of it. Finished cells are skipped, so the
same command goes on where it was stopped; a failed cell is reported and does not stop the others.
"""

_EXAMPLES = """\
examples:
  python -m aeanomaly benchmark --config configs/benchmark/loo_mnist.yaml --dry-run
  python -m aeanomaly benchmark --config configs/benchmark/loo_mnist.yaml --workers 2
  RAY_ADDRESS=head:6379 python -m aeanomaly benchmark --config ... --backend ray --workers 16 --gpus-per-cell 0.5
"""


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser("benchmark", _DESCRIPTION, _EXAMPLES)
    parser.add_argument(
        "--config", required=True, metavar="FILE", help="the grid; see configs/benchmark/loo_mnist.yaml"
    )
    parser.add_argument("--out", metavar="FOLDER", help=f"where everything goes (default: {LOGS}/benchmark_<name>)")
    parser.add_argument("--workers", type=count, default=1, help="cells at a time (default: 1)")
    parser.add_argument(
        "--threads", type=count, help="threads for each worker (default: OMP_NUM_THREADS, or cores / workers)"
    )
    parser.add_argument("--backend", choices=("loky", "ray"), default="loky", help="processes here, or a Ray cluster")
    parser.add_argument("--gpus-per-cell", type=_gpus, default=0.0, help="share of a GPU that Ray keeps for each cell")
    parser.add_argument("--allow-subset", action="store_true", help="accept runs on a part of their data set")
    parser.add_argument("--dry-run", action="store_true", help="print the cells and stop")
    return parser


def _gpus(text: str) -> float:
    """A share of a GPU, or several whole ones: what Ray can keep for a task."""
    with contextlib.suppress(ValueError):
        number = float(text)
        if 0 <= number <= 1 or (number > 1 and number.is_integer()):
            return number
    raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, or a whole number, got {text!r}")


def main(options: Sequence[str]) -> int:
    """Run ``benchmark`` with the words after it.

    Returns:
        The exit status: 0 if every cell is finished, 1 if some are not, 130 after Ctrl-C, 143 after SIGTERM.

    Raises:
        UserError: for anything wrong in the options or the grid, or if another benchmark is at work in the folder.
    """
    args = _parser().parse_args(options)
    if args.gpus_per_cell and args.backend != "ray":
        raise UserError("benchmark: --gpus-per-cell is for Ray: add --backend ray, or leave it out")
    grid = read_grid(Path(args.config))
    for cell in {cell.method: cell for cell in grid.cells}.values():  # those of one method have the same keys
        try:
            refuse_early(cell.options)
        except UserError as error:
            raise UserError(f"{args.config}: method {cell.method}: {error}") from None
    # Cells may run in other folders or on other machines: only an absolute path means the same to all of them.
    out = Path(args.out or Path(LOGS) / f"benchmark_{grid.name}").absolute()
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if args.dry_run:
        finished = _finished(grid, out)
        for cell in grid.cells:
            state = "finished" if cell.name in finished else "to run"
            console.print(f"{state:8}  {cell.name}: fit {shlex.join(cell.options)}")
        console.print(f"{len(grid.cells)} cells, {len(finished)} finished")
        return 0
    settings = _settings(grid)  # before there is a folder: it may find a mistake
    with sigterm_interrupts(), alone_in(out, "benchmark"):
        return _go_on(grid, settings, out, args, console)


def _finished(grid: Grid, out: Path) -> dict[str, Run]:
    """The runs of finished cells by name; those that only results.csv tells of have no files."""
    kept = {name: rows[0].run for name, rows in kept_rows(grid, out).items()}
    return kept | {cell.name: run for cell in grid.cells if (run := finished_run(out, cell))}


def _go_on(grid: Grid, settings: dict[str, str], out: Path, args: argparse.Namespace, console: Console) -> int:
    """Run the cells that are not finished in a folder that is held, and write the results; the exit status."""
    finished = _finished(grid, out)
    _check_out(out, settings)
    waiting = [cell for cell in grid.cells if cell.name not in finished]
    console.print(f"{grid.name}: {len(grid.cells)} cells, {len(finished)} finished before, in {out}")
    failed = {name: reason for name, run in finished.items() if (reason := complaint(run, args.allow_subset))}
    status = 0
    try:
        for cell, reason in _run(grid, waiting, out, args, console):
            if reason:
                failed[cell.name] = reason
                console.print(f"failed: {cell.name}: {reason}")
    except KeyboardInterrupt as interruption:
        left = "cells in flight are lost, finished ones are kept. The same command goes on."
        tell(interruption, left, shown_on=sys.stdout)
        status = exit_status(interruption)
    missing = _write_results(grid, out, failed, args.allow_subset, console)
    return status or int(bool(failed or missing))


def _settings(grid: Grid) -> dict[str, str]:
    """What makes each cell what it is, by its name: its options, each config with a digest of what it says."""
    files = {word for cell in grid.cells for before, word in pairwise(cell.options) if before == "--config"}
    # With what the files say, not only their names: an edited config is another setting, an edited comment is none.
    said = {file: read_config(Path(file), "config of a method") for file in files}
    texts = {file: json.dumps(content, sort_keys=True, default=str) for file, content in said.items()}
    digests = {file: hashlib.sha256(text.encode()).hexdigest()[:12] for file, text in texts.items()}
    return {
        cell.name: " ".join(f"{word}#{digests[word]}" if word in digests else word for word in cell.options)
        for cell in grid.cells
    }


def _check_out(out: Path, cells: dict[str, str]) -> None:
    """Refuse to mix two grids in one folder: cells of the same name would be taken for each other."""
    manifest = out / "cells.txt"
    lines = manifest.read_text().splitlines() if manifest.is_file() else []
    if not lines and (out / "results.csv").is_file():
        raise UserError(f"{out} has results.csv but no cells.txt, which tells by what settings: it needs both")
    before = {name: options for name, _, options in (line.partition(": ") for line in lines)}
    changed = next((name for name, options in cells.items() if before.get(name, options) != options), None)
    if changed:
        raise UserError(f"{out} holds cell {changed} with other settings: give another --out, or delete that folder")
    write_whole(manifest, "".join(f"{name}: {options}\n" for name, options in (before | cells).items()))


def _run(
    grid: Grid, cells: Sequence[Cell], out: Path, args: argparse.Namespace, console: Console
) -> Iterable[tuple[Cell, str]]:
    """Run the cells behind a progress bar: each, as soon as it is done, and why it failed (empty if it did not)."""
    from aeanomaly.commands.benchmark.execute import run_here, run_on_ray, threads_of_each

    threads = args.threads or threads_of_each(args.workers)
    work = partial(
        run_cell, out=out, threads=threads, allow_subset=args.allow_subset, keep_checkpoints=grid.keep_checkpoints
    )
    if args.backend == "ray":
        outcomes = run_on_ray(work, cells, args.workers, threads, args.gpus_per_cell)
    else:
        outcomes = run_here(work, cells, args.workers)
    return track(outcomes, f"{len(cells)} cells", total=len(cells), console=console)


def _write_results(grid: Grid, out: Path, failed: dict[str, str], allow_subset: bool, console: Console) -> int:
    """Write the tables and figures of what is finished, and say what is not; the number of cells missing."""
    from aeanomaly.commands.benchmark.figures import write_figures
    from aeanomaly.commands.benchmark.summary import summary_md

    rows = collect(grid, out, allow_subset)
    done = {row.cell.name for row in rows}
    missing = {cell.name: failed.get(cell.name, "") for cell in grid.cells if cell.name not in done}
    write_whole(out / "summary.md", summary_md(grid, rows, missing))
    if rows:
        write_whole(out / "results.csv", results_csv(grid, rows, out))
        if shown := named_scores(grid, rows):
            write_figures(grid, shown, out)
        console.print((out / "summary.md").read_text())
    for name, reason in missing.items():
        if reason:
            console.print(f"not finished: {name}: {reason}")
    if to_come := sum(not reason for reason in missing.values()):
        console.print(f"{to_come} of {len(grid.cells)} cells did not run yet")
    names = ("results.csv", "summary.md", "heatmap.png", "roc.png")
    console.print(f"Results: {', '.join(name for name in names if (out / name).is_file())} in {out}")
    console.print(f"TensorBoard: tensorboard --logdir {shlex.quote(str(out))}")
    return len(missing)
