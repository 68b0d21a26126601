"""What is lost when a command is killed, interrupted or runs out of disk: a table of fault, tries and outcome.

    python performance/faults.py --tries 20 --write docs/reliability.md

runs small commands of the package in processes of their own, stops each at a random moment of its work, gives the next
command that the documentation names, and compares what is there in the end with what an undisturbed command leaves:
weights, scores, values and every point in TensorBoard, or the bytes of a result. Moments are drawn from a seed; when
they fall in the work of a process is up to the machine. An undisturbed command is timed first, so a busy machine only
makes it last longer. A command that ended before it could be stopped is no try.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from fault import Fault
from fit_faults import interrupted_twice, killed_fits, killed_processes
from grid_faults import killed_grids
from markdown_section import Report, add_options
from picture_faults import killed_pictures
from small_faults import small
from tries import Tries

FAULTS: dict[str, Callable[[Tries], list[Fault]]] = {
    "fit": killed_fits,
    "twice": interrupted_twice,
    "processes": killed_processes,
    "grids": killed_grids,
    "pictures": killed_pictures,
    "small": small,
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=20, help="of each fault, at most")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS), help="these faults")
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    add_options(parser)
    options = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        tries = Tries(Path(name), options.tries, random.Random(options.seed))
        found = [fault for each in options.only for fault in FAULTS[each](tries)]
    minutes = (time.monotonic() - begin) / 60
    facts = f"up to {options.tries} tries of each fault, seed {options.seed}, {minutes:.1f} minutes"
    report = Report(" ".join(["faults", *options.only]), facts)
    header = ["fault", "tries", "ended as if undisturbed", "seconds of the last command (median)"]
    report.table(header, [fault.row() for fault in found])
    for fault in found:
        for sentence in fault.sentences():
            report.sentence(sentence)
    report.publish(options)


if __name__ == "__main__":
    main()
