"""``compare``: which run was better, and what differed."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from aeanomaly.commands.compare.formats import to_csv, to_json, to_markdown, to_table
from aeanomaly.commands.comparison.table import Comparison, compare_runs, sort_rows
from aeanomaly.commands.parser import CommandParser, count_from_zero, names
from aeanomaly.commands.tables import print_whole
from aeanomaly.errors import UserError
from aeanomaly.runs.files import write_whole
from aeanomaly.runs.finding import LOGS, find_runs
from aeanomaly.runs.reading import read_run

_FORMATS: dict[str, Callable[[Comparison], str]] = {"csv": to_csv, "markdown": to_markdown, "json": to_json}

_DESCRIPTION = """\
Put runs side by side: their metrics, and only the hyperparameters that differ between them.

A RUN is a folder with metrics.json or config.yaml; a FOLDER is searched for runs, however deep they lie. Runs that are
unfinished or broken are listed below the table with the reason. The seed, precision, accelerator and devices are those
that took effect. The best value of each metric is in bold.
"""

_EXAMPLES = """\
A metric is called as in metrics.json, where `test/` may be left out: auroc/kmeans, val/loss, fit_seconds. `auroc` is
that of every score, and patterns work: '*accuracy*@35'. A hyperparameter is called by its dotted key in config.yaml, or
any ending of it that is unambiguous: model.net.code_size, net.code_size, code_size.

examples:
  python -m aeanomaly compare                                          every run in lightning_logs
  python -m aeanomaly compare --sort auroc/reconstruction              best first
  python -m aeanomaly compare --metrics auroc,aupr,fpr95               every score, three metrics
  python -m aeanomaly compare lightning_logs/version_3 other/runs      these only
  python -m aeanomaly compare --group-by                               seeds folded: mean ± std, n runs
  python -m aeanomaly compare --group-by code_size --csv sizes.csv     a row for each code size
"""


def build_parser() -> argparse.ArgumentParser:
    """The options of ``compare``. Its errors are raised as `UserError`."""
    parser = CommandParser("compare", _DESCRIPTION, _EXAMPLES, "[RUN or FOLDER ...] [options]")
    parser.add_argument("paths", nargs="*", metavar="RUN or FOLDER", help=f"what to compare (default: {LOGS})")
    parser.add_argument(
        "--metrics",
        type=names,
        metavar="NAME[,NAME...]",
        help="columns of values (default: AUROC of every score on the test images, and fit_seconds)",
    )
    parser.add_argument(
        "--sort",
        metavar="COLUMN",
        help="order of the rows: metrics best first, hyperparameters and `run` ascending; rows without a value last",
    )
    parser.add_argument("--reverse", action="store_true", help="the other way round")
    parser.add_argument(
        "--limit",
        type=count_from_zero,
        default=200,
        metavar="N",
        help="rows of the table on the screen (default: 200; 0: all)",
    )
    parser.add_argument(
        "--group-by",
        nargs="?",
        type=names,
        const=[],
        metavar="KEY[,KEY...]",
        help="without KEY: fold runs that differ only in their seed into one row, mean ± sample standard deviation "
        "over n runs; with hyperparameters: a row for each combination of their values",
    )
    for name, what in (("csv", "CSV"), ("markdown", "a Markdown table"), ("json", "JSON")):
        parser.add_argument(
            f"--{name}",
            nargs="?",
            const="-",
            metavar="FILE",
            help=f"write {what} to FILE; without FILE, print it instead of the table"
            + ("" if name == "markdown" else " (full precision, every run)"),
        )
    return parser


def main(options: Sequence[str]) -> int:
    """Run ``compare`` with the words after it.

    Returns:
        The exit status 0. That some runs are unfinished or broken is a result, not a failure.

    Raises:
        UserError: if there is no such path, run, metric, hyperparameter or column, or a file cannot be written.
    """
    args = build_parser().parse_intermixed_args(list(options))
    files = {name: getattr(args, name) for name in _FORMATS if getattr(args, name) is not None}
    for name, file in files.items():
        if Path(file).is_dir():
            raise UserError(f"--{name} {file}: that is a folder; put runs and folders before --{name}")
    printed = [name for name, file in files.items() if file == "-"]
    if len(printed) > 1:
        raise UserError(f"only one of --{' and --'.join(printed)} can be printed: give the others a FILE")
    if len(set(map(os.path.realpath, files.values()))) < len(files):
        raise UserError(f"--{' and --'.join(files)} would be written into one file: give each its own")

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without ± shows a question mark
    comparison = _compare(args)
    for name, file in files.items():
        if file != "-":
            write_whole(Path(file), _FORMATS[name](comparison))
    if printed:
        print(_FORMATS[printed[0]](comparison), end="", flush=True)
        if printed != ["markdown"]:  # which has them
            print(*comparison.notes, sep="\n", end="\n" if comparison.notes else "", file=sys.stderr)
        return 0
    # Names of runs and values are shown as they are, whatever brackets and colons they have.
    console = Console(markup=False, emoji=False, highlight=False)
    if comparison.rows:
        print_whole(console, to_table(comparison, args.limit or len(comparison.rows)))
    if 0 < args.limit < len(comparison.rows):
        console.print(f"{args.limit:,} of {len(comparison.rows):,} rows: --sort for the best first, --limit 0 for all")
    written = [f"Written: {file}" for file in files.values()]
    for line in comparison.notes + comparison.troubles + written:
        console.print(line, soft_wrap=True)
    return 0


def _compare(args: argparse.Namespace) -> Comparison:
    if not args.paths and not Path(LOGS).is_dir():
        raise UserError(f"there is no {LOGS} here: name the runs to compare, or a folder that holds them")
    runs = [read_run(path) for path in find_runs([Path(path) for path in args.paths or [LOGS]])]
    try:
        comparison = compare_runs(runs, args.metrics, args.group_by)
    except UserError as error:
        if any(Path(name).is_dir() for name in args.group_by or ()):
            raise UserError(f"{error}; put runs and folders before --group-by") from None
        raise
    if args.sort and comparison.rows:
        sort_rows(comparison, args.sort, args.reverse, [name for run in runs for name in run.values])
    elif args.reverse:
        comparison.rows.reverse()
    return comparison
