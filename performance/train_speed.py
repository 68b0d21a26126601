"""Seconds per epoch of training: `fit`, other ways to train the same net, and the limit of the machine.

    python performance/train_speed.py --variant fast=configs/recipes/fast.yaml

Every loop runs in a fresh process, all of them in turn, several rounds; about ten minutes on two CPU cores. The first
epoch of a process is not counted, as it starts threads and allocates memory, but shown. A figure is the median over the
rounds of the mean over the counted epochs, a ratio the median of the ratios within the rounds.

Loops that leave out an incomplete last batch are scaled to the same number of images. `training` ends where
validation starts, `whole epoch` where the next epoch starts (validation, fitting of scores, metrics, figures,
checkpoints). The five epochs of a process are what configs/recipes/fast.yaml needs for one validation, and the figures
of base.yaml for one drawing; both fall into the last.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import statistics
import tempfile
from pathlib import Path

import fit_command
import torch
from few_mnist import FewMNIST
from fit_command import HERE
from limit import precisions
from markdown_section import Report, add_options
from times import Times

LABELS = {
    "plain": "a: the study's plain loop",
    "best": "b: the best plain loop",
    "lightning": "c: usual Lightning, self.log in each step",
    "fit": "d: fit, training",
    "pyod": "e: PyOD's AutoEncoder",
    "limit float32": "f: limit, float32 products",
    "limit bf16": "f: limit, bf16 products",
    "cuda_graph": "g: bare CUDA graph",
}
# Row, what it is divided by, and what the ratio should be at most with configs/recipes/fast.yaml as the variant `fast`.
TARGETS = (("fit", "best", 1.08), ("fit", "plain", 0.85), ("fast", "plain", 0.30), ("fast", "limit", 2.5))
WHOLE = ", whole epoch"


def training_images(options: argparse.Namespace) -> torch.Tensor:
    """The (N, 1, 28, 28) uint8 images that base.yaml trains on."""
    data = FewMNIST(options.subset, anomaly_classes=[0], data_dir=options.data_dir, split_seed=9)
    data.prepare_data()
    data.setup()
    if data.source == "subset" and not options.allow_subset:
        raise SystemExit("only the subset of MNIST could be obtained; --allow-subset measures on it all the same")
    images: torch.Tensor = data.train_in_order_dataloader().dataset.images  # type: ignore[attr-defined]
    return images


def time_limit(times: Times, images: int, options: argparse.Namespace) -> float:
    """Measure the machine's products; returns the operations per image."""
    words = [str(HERE / "limit.py"), options.device, *precisions(options.device)]
    measured = json.loads(fit_command.run(words).splitlines()[-1])
    for precision, rate in measured["rates"].items():
        times.add(f"limit {precision}", 2 * [images * measured["step"] / rate])
    return float(measured["step"])


def time_loop(times: Times, loop: str, file: Path, images: int, options: argparse.Namespace) -> None:
    """One process of contestants.py."""
    words = [str(HERE / "contestants.py"), loop, "--images", str(file), "--device", options.device]
    measured = json.loads(fit_command.run([*words, "--epochs", str(options.epochs + 1)]).splitlines()[-1])
    times.add(loop, measured["seconds"], images / measured["images"])


def time_fit(times: Times, row: str, words: list[str], options: argparse.Namespace) -> None:
    """One process of `fit`."""
    with tempfile.TemporaryDirectory() as root:
        clock = Path(root, "clock.json")
        words = [*words, *fit_command.settings(options), "--trainer.max_epochs", str(options.epochs + 1)]
        run = fit_command.run_fit([*words, *fit_command.callback("clocks.EpochClock", path=clock)], root)
        measured = json.loads(clock.read_text())
        times.add(row, measured["training"])
        times.add(row + WHOLE, measured["whole"])
        record = json.loads((run / "metrics.json").read_text())
        times.limits[row] = "limit bf16" if record["precision"].startswith("bf16") else "limit float32"
        times.limits[row + WHOLE] = times.limits[row]
        if row == "fit":
            times.reported.append(record["train_images_per_second"])


def label(row: str) -> str:
    """What the table calls a row."""
    base = row.removesuffix(WHOLE)
    if base == "fit":
        return LABELS["fit"] if base == row else "d: fit" + WHOLE
    return LABELS.get(row) or f"d:{base}{WHOLE if row != base else ', training'}"


def show(times: Times, report: Report, operations: float, images: int) -> None:
    """Make the tables."""
    others = {"a": "plain", "b": "best", "f": "limit", "g": "cuda_graph"}
    others = {letter: row for letter, row in others.items() if row in ("limit", *times.counted)}
    rows = []
    for row in times.counted:
        by_round = times.counted[row]
        cells = [label(row), f"{times.seconds(row):.2f}", f"{min(by_round):.2f}-{max(by_round):.2f}"]
        cells.append("" if row.startswith("limit") else f"{statistics.median(times.first[row]):.2f}")
        for other in others.values():
            value = times.ratio(row, other)
            cells.append("" if math.isnan(value) or row.startswith("limit") else f"{value:.2f}")
        rows.append(cells)
    header = ["seconds per epoch", "median", "rounds", "first epoch", *(f"/ {letter}" for letter in others)]
    report.table(header, rows)
    rates = [
        f"{images * operations / times.seconds(row) / 1e9:,.0f} GFLOP/s in {row.removeprefix('limit ')}"
        for row in times.counted
        if row.startswith("limit")
    ]
    report.sentence(
        f"The limit: {operations / 1e6:.2f} MFLOP per image, and products of 2048x2048 numbers at "
        f"{' and '.join(rates)}. A row is divided by the limit of its own precision."
    )
    if times.reported:
        reported = statistics.median(times.reported)
        report.sentence(
            f"metrics.json of `fit` says {reported:,.0f} images per second, {images / reported:.2f} s per epoch: there "
            "the first epoch counts, and so does writing checkpoints."
        )
    cost = times.ratio("deterministic", "fit")
    if not math.isnan(cost):
        report.sentence(f"`--trainer.deterministic true` takes {cost:.2f} x the time of training without it.")
    targets = []
    for row, other, most in TARGETS:
        value = times.ratio(row, other)
        if not math.isnan(value):
            letter = next(letter for letter, name in others.items() if name == other)
            targets.append(
                [f"{label(row)} / {letter}", f"{value:.2f}", f"{most:.2f}", "yes" if value <= most else "no"]
            )
    if targets:
        report.table(["target", "measured", "at most", "met"], targets)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4, help="counted epochs of each process, after a first one")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="of plain best lightning fit ... and the variants")
    fit_command.add_options(parser)
    add_options(parser)
    options = parser.parse_args()
    options.device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    variants = {"fit": [], **dict(options.variant), "deterministic": ["--trainer.deterministic", "true"]}
    loops = ["plain", "best", "lightning", *variants, "pyod", *(["cuda_graph"] if options.device == "cuda" else [])]
    unknown = set(options.only or []) - set(loops)
    if unknown:
        parser.error(f"--only: no {sorted(unknown)} among {loops}")
    loops = [loop for loop in loops if loop in (options.only or loops)]
    no_pyod = "pyod" in loops and importlib.util.find_spec("pyod") is None
    if no_pyod:
        loops.remove("pyod")

    images = training_images(options)
    facts = f"{len(images):,} images, batch 64, {options.rounds} rounds of {options.epochs} counted epochs"
    report, times = Report("train_speed", facts), Times()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "images.pt")
        torch.save(images.clone(), file)
        for _ in range(options.rounds):
            operations = time_limit(times, len(images), options)
            for loop in loops:
                if loop in variants:
                    time_fit(times, loop, variants[loop], options)
                else:
                    time_loop(times, loop, file, len(images), options)
    show(times, report, operations, len(images))
    if no_pyod:
        report.sentence("PyOD is not installed (`pip install -e '.[performance]'`), so row e is missing.")
    report.publish(options)


if __name__ == "__main__":
    main()
