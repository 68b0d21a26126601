"""How training time and memory grow with the data: `fit` with configs/base.yaml on synthetic 28x28 images in files.

Every run is a process of its own, once with the images in memory and once mapped from the file, in turn. A row counts
the images of the training file; a sixth as many are tested, as in MNIST. All of it takes about six minutes on two CPU
cores; Linux only, because it reads /proc.

    python performance/growth.py --rounds 3

A file larger than memory is one of which every image must be fetched from the disk. `--cold` makes it so: it drops the
files from the system's cache before each mapped run, and of either kind trains a twentieth of the images, at random
places all over the file, so that few of them lie on a page that was fetched for another.

    python performance/growth.py --cold --images 2000000 --batch-size 64 --rounds 3
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markdown_section import Report, add_options

BASE = Path(__file__).parent.parent / "configs" / "base.yaml"
MB = 1e6
CHUNK = 20_000  # images made at a time
COLUMNS = (
    "images",
    "source",
    "epoch s",
    "µs/image",
    "linear",
    "fit s",
    "test s",
    "peak MB",
    "beyond",
    "anonymous",
    "speed",
)
LEGEND = """\
epoch s, µs/image: training alone. linear: µs/image relative to the first row of this source. fit s, test s: all of it.
peak MB: resident memory. beyond: MB of it more than the images. anonymous: MB of it that are not pages of files, which
the system may drop. speed: relative to the images in memory (median of the ratios of the rounds)."""


@dataclass
class Run:
    """What one run of `fit` took."""

    seconds_per_image: float  # training alone
    epoch_seconds: float  # likewise
    fit_seconds: float  # validation and everything else included
    test_seconds: float
    peak: float  # MB resident at most
    anonymous: float  # MB at most that are not pages of files


def make_images(folder: Path, count: int) -> float:
    """Write train and test files of noisy blocks in ten patterns, labels 0-9; returns the MB of all images."""
    draw = np.random.default_rng(count)
    patterns = draw.integers(0, 2, (10, 7, 7), dtype=np.uint8).repeat(4, axis=1).repeat(4, axis=2) * 160
    total = 0.0
    for part, size in (("train", count), ("test", count // 6)):
        labels = draw.integers(0, 10, size)
        np.save(folder / f"{part}_labels.npy", labels)
        path = folder / f"{part}_images.npy"
        header = {"descr": "|u1", "fortran_order": False, "shape": (size, 28, 28)}
        with path.open("wb") as stream:
            np.lib.format.write_array_header_1_0(stream, header)
            for first in range(0, size, CHUNK):
                kinds = labels[first : first + CHUNK]
                noise = draw.integers(0, 96, (len(kinds), 28, 28), dtype=np.uint8)
                stream.write((patterns[kinds] + noise).tobytes())
            stream.flush()
            os.fsync(stream.fileno())  # what is not on the disk yet cannot be dropped from the cache
        total += path.stat().st_size / MB
    return total


def drop_from_cache(folder: Path) -> None:
    """Have the next reader of the images fetch them from the disk."""
    for path in folder.glob("*_images.npy"):
        with path.open("rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def resident(pid: int) -> tuple[float, float]:
    """MB resident at most so far, and MB of anonymous memory right now; zeros when the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    kilobytes = dict(line.removesuffix(" kB").split(":") for line in lines if line.endswith(" kB"))
    peak, anonymous = (1024 * int(kilobytes.get(key, 0)) / MB for key in ("VmHWM", "RssAnon"))
    return peak, anonymous


def fit(folder: Path, mapped: bool, options: argparse.Namespace) -> Run:
    """Train once in a fresh process, watching its memory."""
    with tempfile.TemporaryDirectory() as root:
        words = [sys.executable, "-m", "aeanomaly", "fit", "--config", str(BASE), "--trainer.default_root_dir", root]
        words += ["--trainer.accelerator", "cpu", "--trainer.devices", "1"]
        words += ["--trainer.max_epochs", str(options.epochs)]
        if options.cold:
            words += [
                "--data.val_fraction",
                "0.95",
                "--trainer.limit_val_batches",
                "2",
                "--trainer.limit_test_batches",
                "2",
            ]
            words += ["--trainer.num_sanity_val_steps", "0"]
        words += ["--data", "aeanomaly.data.sources.arrays.ArrayFiles", "--data.anomaly_classes", "[0]"]
        for name in ("train_images", "train_labels", "test_images", "test_labels"):
            words += [f"--data.{name}", str(folder / f"{name}.npy")]
        words += ["--data.batch_size", str(options.batch_size), "--data.memory_map", str(mapped).lower()]
        if mapped and options.cold:
            drop_from_cache(folder)
        with tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen(words, stdout=said, stderr=subprocess.STDOUT)
            peak = anonymous = 0.0
            while process.poll() is None:
                now = resident(process.pid)
                peak, anonymous = max(peak, now[0]), max(anonymous, now[1])
                time.sleep(0.02)
            if process.returncode:
                said.seek(0)
                raise SystemExit(said.read())
        record: dict[str, Any] = json.loads(Path(root, "lightning_logs", "version_0", "metrics.json").read_text())
        per_image = 1 / record["train_images_per_second"]
        seconds = per_image * record["train_images"], record["fit_seconds"], record["test_seconds"]
        return Run(per_image, *seconds, peak, anonymous)


def run(options: argparse.Namespace) -> None:
    """Measure every size and print the table."""
    how = f"{options.epochs} epochs, batch {options.batch_size}, {options.rounds} rounds{', cold' * options.cold}"
    report, rows = Report("growth_cold" if options.cold else "growth", how), []
    first: dict[str, float] = {}
    for count in options.images:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            size = make_images(Path(folder), count)
            runs: dict[str, list[Run]] = {"memory": [], "mapped": []}
            for _ in range(options.rounds):
                for source, done in runs.items():
                    done.append(fit(Path(folder), source == "mapped", options))
        ratios = [a.seconds_per_image / b.seconds_per_image for a, b in zip(*runs.values(), strict=True)]
        for source, done in runs.items():
            middle = Run(*(statistics.median(values) for values in zip(*map(astuple, done), strict=True)))
            per_image = first.setdefault(source, middle.seconds_per_image)
            cells = [f"{count:,}", source, f"{middle.epoch_seconds:.2f}", f"{1e6 * middle.seconds_per_image:.1f}"]
            cells += [f"{middle.seconds_per_image / per_image:.2f}"]
            cells += [f"{middle.fit_seconds:.1f}", f"{middle.test_seconds:.1f}", f"{middle.peak:.0f}"]
            cells += [f"{middle.peak - size:.0f}", f"{middle.anonymous:.0f}"]
            cells += [f"{statistics.median(ratios):.2f}" if source == "mapped" else "1"]
            rows.append(cells)
            print("  ".join(cells), file=sys.stderr, flush=True)
    report.table(COLUMNS, rows)
    report.sentence(LEGEND)
    report.publish(options)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[54_000, 270_000, 1_080_000])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=1024, help="configs/base.yaml has 64")
    parser.add_argument("--cold", action="store_true", help="have the mapped run fetch its images from the disk")
    parser.add_argument("--folder", default=None, help="where to make the files; by default that of temporary files")
    add_options(parser)
    run(parser.parse_args())
