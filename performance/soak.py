"""Whether fits leave something behind in their process: memory, open files, threads.

    python performance/soak.py --minutes 60

runs `fit` with configs/debug.yaml, its callbacks and its report included, again and again in one process, each in a
folder that is removed after it, and notes the process's resident memory, open files and threads after every fit. What
counts is whether the last third of the fits needs more than the middle third; the first warms up. Linux only: it reads
/proc.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

from markdown_section import Report, add_options

from aeanomaly.commands.main import main as aeanomaly

DEBUG = Path(__file__).resolve().parent.parent / "configs" / "debug.yaml"


def one_fit(epochs: int) -> None:
    """A fit in a folder of its own; what it says is shown only if it fails."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as said:
        words = ["fit", "--config", str(DEBUG), "--trainer.default_root_dir", folder]
        words += ["--trainer.max_epochs", str(epochs), "--trainer.enable_progress_bar", "false"]
        with contextlib.redirect_stderr(said):
            status = aeanomaly(words)
    if status:
        raise SystemExit(said.getvalue())


def state_of_process() -> tuple[float, int, int]:
    """Resident MB, open files, threads."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return (
        pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        sum(1 for _ in Path("/proc/self/fd").iterdir()),
        threading.active_count(),
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, help="how long; at least six fits are made")
    parser.add_argument("--epochs", type=int, default=2, help="of each fit")
    add_options(parser)
    options = parser.parse_args()
    begin, seen = time.monotonic(), []
    while len(seen) < 6 or time.monotonic() - begin < 60 * options.minutes:
        one_fit(options.epochs)
        seen.append(state_of_process())
    third = len(seen) // 3
    parts = {"first": seen[:third], "middle": seen[third : 2 * third], "last": seen[2 * third :]}
    report = Report("soak", f"{len(seen)} fits in {(time.monotonic() - begin) / 60:.0f} minutes")
    rows = []
    for name, part in parts.items():
        memory, files, threads = (statistics.median(column) for column in zip(*part, strict=True))
        rows.append([name, str(len(part)), f"{memory:.0f}", f"{files:.0f}", f"{threads:.0f}"])
    report.table(["third of the fits", "fits", "resident MB", "open files", "threads"], rows)
    report.publish(options)


if __name__ == "__main__":
    main()
