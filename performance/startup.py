"""How long `fit` takes to its first training step, beside the bare import of the libraries that it stands on.

    python performance/startup.py --rounds 5

runs, in turn and each in a fresh process, `import torch, lightning, torchvision`; `fit --config configs/base.yaml`
until its first step is about to begin; `--help`; and `compare` on an empty folder. The import and the fit both end
there and then, without what Python does when it leaves. A first round, which fills the file cache, is not counted. To
be quoted are the median seconds and the median over the rounds of fit / import; CPU seconds (user and system, of all
threads) suffer less from whatever else the machine does.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from markdown_section import Report, add_options

HERE = Path(__file__).resolve().parent
BASE = HERE.parent / "configs" / "base.yaml"
AEANOMALY = ("-m", "aeanomaly")
IMPORT = "import torch, lightning, torchvision"
FIT, HELP, COMPARE = "fit to its first step", "--help", "compare, empty folder"


def commands(folder: str, data_dir: str) -> dict[str, list[str]]:
    """What is measured: the words after ``python``, by name.

    Args:
        folder: an empty folder to write to.
        data_dir: folder of MNIST, which must be there already.
    """
    fit = ["fit", "--config", str(BASE), "--data.data_dir", data_dir, "--data.source", "disk"]
    fit += ["--trainer.default_root_dir", f"{folder}/fit", "--trainer.callbacks+", "first_step.LeaveAtFirstStep"]
    return {
        IMPORT: ["-c", f"{IMPORT}\nimport os\nprint('imported', flush=True)\nos._exit(0)"],
        FIT: [*AEANOMALY, *fit],
        HELP: [*AEANOMALY, "--help"],
        COMPARE: [*AEANOMALY, "compare", f"{folder}/none"],
    }


def measure(words: Sequence[str], last_line: str) -> tuple[float, float]:
    """Seconds and CPU seconds of a fresh Python process.

    Args:
        words: after ``python``.
        last_line: how the last line that it prints must begin; anything else means that it failed.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = (done.stdout + done.stderr).strip().splitlines()
    if not said or not said[-1].strip().startswith(last_line):
        raise SystemExit(f"{' '.join(words)} ended with {said[-1:]}, not with {last_line!r}")
    return seconds, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def run(rounds: int, data_dir: str) -> dict[str, list[tuple[float, float]]]:
    """Seconds and CPU seconds of each round, by name."""
    expected = {IMPORT: "imported", FIT: "first step", HELP: "python -m aeanomaly compare", COMPARE: "aeanomaly: error"}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "none").mkdir()
        measured = commands(folder, data_dir)
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in measured}
        for number in range(rounds + 1):
            for name, words in measured.items():
                pair = measure(words, expected[name])
                if number:
                    taken[name].append(pair)
    return taken


def show(report: Report, taken: dict[str, list[tuple[float, float]]]) -> None:
    """The medians, and beside each its ratio to the bare import: the median of the rounds' ratios."""
    rows = []
    for name, pairs in taken.items():
        cells = [f"`{name}`"]
        for column in (0, 1):
            ratio = statistics.median(
                pair[column] / bare[column] for pair, bare in zip(pairs, taken[IMPORT], strict=True)
            )
            cells += [f"{statistics.median(pair[column] for pair in pairs):.2f}", f"{ratio:.2f}"]
        rows.append(cells)
    report.table(["", "seconds", "/ import", "CPU seconds", "/ import"], rows)
    report.sentence("Targets: fit to its first step at most 1.3 x the import; `--help` and `compare` within a second.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data-dir", default="data", help="folder that holds MNIST already")
    add_options(parser)
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    report = Report("startup", f"medians of {options.rounds} rounds")
    show(report, run(options.rounds, options.data_dir))
    report.publish(options)
