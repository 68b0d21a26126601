"""How much longer a fit takes beside another busy process than on a quiet machine.

    python performance/busy_machine.py --rounds 3

runs `fit --config configs/debug.yaml` alone and beside a process whose two threads multiply 1500x1500 matrices, in
turn, each in a fresh process; about two minutes on two CPU cores. Seconds are those of the whole command.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import fit_command
from markdown_section import Report, add_options

DEBUG = fit_command.HERE.parent / "configs" / "debug.yaml"
MOST = 4.0
BUSY = """
import torch
torch.set_num_threads({threads})
one, other = torch.rand({size}, {size}), torch.rand({size}, {size})
print("busy", flush=True)
while True:
    one @ other
"""


@contextmanager
def busy(threads: int, size: int = 1500) -> Iterator[None]:
    """A process that multiplies matrices meanwhile."""
    words = [sys.executable, "-c", BUSY.format(threads=threads, size=size)]
    # Its threads wait for each other in the usual way, whatever is set here.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
        finally:
            process.kill()


def seconds_of_fit(config: str, epochs: int) -> float:
    """The whole command."""
    with tempfile.TemporaryDirectory() as root:
        words = ["fit", "--config", config, "--trainer.max_epochs", str(epochs), "--trainer.default_root_dir", root]
        start = time.perf_counter()
        fit_command.run(["-m", "aeanomaly", *words])
        return time.perf_counter() - start


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2, help="of the busy process")
    parser.add_argument("--config", default=str(DEBUG))
    add_options(parser)
    options = parser.parse_args()
    quiet, beside = [], []
    for _ in range(options.rounds):
        quiet.append(seconds_of_fit(options.config, options.epochs))
        with busy(options.threads):
            beside.append(seconds_of_fit(options.config, options.epochs))
    ratio = statistics.median(one / other for one, other in zip(beside, quiet, strict=True))
    report = Report("busy_machine", f"{options.epochs} epochs, medians of {options.rounds} rounds")
    rows = [["alone", f"{statistics.median(quiet):.1f}", "1.00"]]
    rows.append([f"beside {options.threads} busy threads", f"{statistics.median(beside):.1f}", f"{ratio:.2f}"])
    report.table(["whole command", "seconds", "/ alone"], rows)
    report.table(["target", "measured", "at most"], [["beside / alone", f"{ratio:.2f}", f"{MOST:.2f}"]])
    report.publish(options)


if __name__ == "__main__":
    main()
