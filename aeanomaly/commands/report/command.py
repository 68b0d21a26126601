"""``report``: a page that shows a run, or several side by side, in any browser."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from aeanomaly.commands.comparison.cells import columns_of
from aeanomaly.commands.comparison.table import compare_runs
from aeanomaly.commands.parser import CommandParser, count_from_zero
from aeanomaly.errors import UserError
from aeanomaly.page.choice import IMAGES
from aeanomaly.runs.files import write_whole
from aeanomaly.runs.finding import find_runs, run_names
from aeanomaly.runs.reading import Run, read_run

_LARGE = 5_000_000  # bytes
_DESCRIPTION = """\
Make one HTML file of a finished run: its metrics, the densities of its scores with a threshold to drag, ROC and PR
curves, test images with what the net makes of them, the most suspicious normal images, and what the run was. It needs
neither a server nor a network, and can be sent as it is.

Several runs share a page, with their curves in one chart and a table of what differs. Pictures are made from the run's
config.yaml, its checkpoint and its data; without one of them, the page says so and has the rest.
"""
_EXAMPLES = """\
examples:
  python -m aeanomaly report lightning_logs/version_0                            report.html in the run's directory
  python -m aeanomaly report lightning_logs/version_0 lightning_logs/version_3   both, in ./report.html
  python -m aeanomaly report lightning_logs --out all.html --images 12           every run in a folder
"""


def build_parser() -> argparse.ArgumentParser:
    """The options of ``report``. Its errors are raised as `UserError`."""
    parser = CommandParser("report", _DESCRIPTION, _EXAMPLES, "RUN [RUN ...] [options]")
    parser.add_argument("paths", nargs="+", metavar="RUN", help="a run, or a folder that is searched for runs")
    parser.add_argument(
        "--out", metavar="FILE", help="where to (default: report.html in the run's directory; of several runs, here)"
    )
    parser.add_argument(
        "--images",
        type=count_from_zero,
        default=IMAGES,
        metavar="N",
        help=f"test images shown of each run at most (default: {IMAGES}); 0 for no pictures",
    )
    return parser


def main(options: Sequence[str]) -> int:
    """Run ``report`` with the words after it.

    Returns:
        The exit status 0. That there are no pictures is no failure.

    Raises:
        UserError: if there is no such run, none was tested, or the page cannot be written.
    """
    args = build_parser().parse_intermixed_args(list(options))
    if args.out and Path(args.out).is_dir():
        raise UserError(f"--out {args.out}: that is a folder; name a file, such as {Path(args.out, 'report.html')}")
    if args.out and Path(args.out).suffix not in (".html", ".htm"):
        raise UserError(f"report: --out must end in .html, which is what is written, got {args.out!r}")
    found = [read_run(path) for path in find_runs([Path(path) for path in args.paths])]
    runs = [run for run in found if (run.path / "test_scores.csv").is_file()]
    if not runs:
        raise UserError(f"no run in {', '.join(args.paths)} was tested: there is no test_scores.csv to report on")
    for run in found:
        if run not in runs:
            print(f"Left out: {run.path} was not tested")
    out = Path(args.out) if args.out else (runs[0].path if len(runs) == 1 else Path()) / "report.html"
    page = _page(runs, args.images)
    write_whole(out, page)
    size = out.stat().st_size
    print(f"Written: {out} ({size / 1e6:.1f} MB)")
    if size > _LARGE:
        print("That is a large page: lower --images, or name fewer runs.")
    return 0


def _page(runs: Sequence[Run], images: int) -> str:
    # Imported here: what is wrong with the options is said before torch is loaded.
    from aeanomaly.page.page import Entry, SideBySide, render
    from aeanomaly.page.scored import read_scored

    names = run_names([run.path for run in runs])
    entries = []
    for run in runs:
        entry = Entry(names[run.path], read_scored(run.path), without="" if images else "none were asked for.")
        if images:
            from aeanomaly.commands.report.rebuilt import gallery_of

            try:
                entry.gallery = gallery_of(entry.scored, images)
            except UserError as error:
                entry.without = " ".join(str(error).split())
                print(f"No pictures of {run.path}: {entry.without}")
        entries.append(entry)
    if len(runs) == 1:
        return render(entries)
    comparison = compare_runs(runs)
    columns = list(columns_of(comparison))
    table = SideBySide(
        headings=[(heading, numbers) for _, heading, numbers, _ in columns],
        rows=list(zip(*(cells for *_, cells in columns), strict=True)),
        remarks=[*comparison.notes, *comparison.troubles],
    )
    return render(entries, table)
