"""Training throughput of `fit` in one process and in two, on the CPU, with the study's net on MNIST.

Three ways to use two cores: one process with one thread (half of them idle, the reference), one process with two
threads, and two processes with one thread each, which average their gradients over gloo. The batch is that of all
processes together, so all three do the same arithmetic. The ways take turns, each run in processes of its own.

    python performance/scaling.py --rounds 3 --epochs 3

prints the median images per second of each way (training alone, without validation), its efficiency (throughput over
that of the reference, divided by two; 1 is ideal), and the time of one all-reduce of the net's gradients over gloo.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing
from markdown_section import Report, add_options

from aeanomaly.models.dense import DenseAutoencoder

CONFIGS = Path(__file__).parent.parent / "configs"
# Nothing but training: no score that has to be fitted, no figures, no checkpoints.
ONLY_TRAINING = """\
trainer: {callbacks: [], enable_checkpointing: false, enable_progress_bar: false}
model:
  scores: [{class_path: aeanomaly.scores.reconstruction.ReconstructionError}]
  thresholds: []
"""
WAYS = {"1 process, 1 thread": (1, 1), "1 process, 2 threads": (1, 2), "2 processes, 1 thread each": (2, 1)}


def images_per_second(processes: int, threads: int, batch_size: int, options: argparse.Namespace) -> float:
    """Throughput of one fit in fresh processes.

    Raises:
        SystemExit: if the run failed, or got only the subset of MNIST without being allowed to.
    """
    with tempfile.TemporaryDirectory() as root:
        fragment = Path(root) / "only_training.yaml"
        fragment.write_text(ONLY_TRAINING)
        words = [sys.executable, "-m", "aeanomaly", "fit", "--config", str(CONFIGS / "base.yaml")]
        words += ["--config", str(CONFIGS / "devices" / ("ddp.yaml" if processes > 1 else "cpu.yaml"))]
        words += ["--config", str(fragment)]
        words += ["--trainer.accelerator", "cpu", "--trainer.devices", str(processes)]
        words += ["--trainer.max_epochs", str(options.epochs), "--trainer.default_root_dir", root]
        words += ["--data.data_dir", options.data_dir, "--data.batch_size", str(batch_size)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        record = json.loads((Path(root) / "lightning_logs" / "version_0" / "metrics.json").read_text())
    if record["data_source"] == "subset" and not options.allow_subset:
        raise SystemExit("only the subset of MNIST could be obtained; --allow-subset measures on it all the same")
    return float(record["train_images_per_second"])


def _time_all_reduce(rank: int, port: int, numbers: int, path: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    gradients, seconds = torch.ones(numbers), []
    for _ in range(60):
        dist.barrier()
        start = time.perf_counter()
        dist.all_reduce(gradients)
        seconds.append(time.perf_counter() - start)
        gradients /= 2
    if rank == 0:
        Path(path).write_text(str(statistics.median(seconds[10:])))
    dist.destroy_process_group()


def seconds_of_all_reduce(numbers: int) -> float:
    """Median time of an all-reduce of that many float32 over gloo between two processes, from a barrier on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seconds"
        torch.multiprocessing.spawn(_time_all_reduce, (port, numbers, str(path)), nprocs=2)
        return float(path.read_text())


def run(options: argparse.Namespace) -> None:
    """Measure, the ways in turn, and print."""
    measured: dict[tuple[int, str], list[float]] = {}
    for number in range(1, options.rounds + 1):
        for batch_size in options.batch_sizes:
            for way, (processes, threads) in WAYS.items():
                speed = images_per_second(processes, threads, batch_size, options)
                measured.setdefault((batch_size, way), []).append(speed)
                print(f"round {number}, batch {batch_size}, {way}: {speed:,.0f} images/s", file=sys.stderr, flush=True)
    numbers = sum(p.numel() for p in DenseAutoencoder([1, 28, 28], [500, 125, 40], 5).parameters())
    seconds = seconds_of_all_reduce(numbers)
    rows = []
    for batch_size in options.batch_sizes:
        reference = statistics.median(measured[batch_size, next(iter(WAYS))])
        for way, (processes, threads) in WAYS.items():
            speed = statistics.median(measured[batch_size, way])
            efficiency = speed / reference / (processes * threads)
            spread = f"{min(measured[batch_size, way]):,.0f} to {max(measured[batch_size, way]):,.0f}"
            rows.append([way, str(batch_size), f"{speed:,.0f}", spread, f"{efficiency:.2f}"])
    report = Report("scaling", f"{options.epochs} epochs a run, {options.rounds} rounds")
    report.table(["way", "batch", "images/s", "range", "efficiency"], rows)
    report.sentence(
        f"All-reduce of {numbers:,} float32 ({numbers * 4 / 1e6:.2f} MB) over gloo, 2 processes: "
        f"{seconds * 1e3:.1f} ms (median of 50)."
    )
    report.publish(options)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[64, 1024])
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--allow-subset", action="store_true", help="measure on the 5,000-image subset if need be")
    add_options(parser)
    run(parser.parse_args())
