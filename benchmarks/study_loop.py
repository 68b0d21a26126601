"""Training time of the study's plain loop and of `fit` with configs/base.yaml, in turn, each in a process of its own.

Both train the same net on the same images for the same number of epochs. The plain loop does nothing else; `fit` also
validates, fits KMeans and thresholds, draws, logs and writes checkpoints, and all of that is counted.

    python benchmarks/study_loop.py --rounds 3 --epochs 10

prints the seconds of each round and the ratio fit / loop, whose median is the figure to quote.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from aeanomaly.data.mnist import MNIST

BASE = Path(__file__).parent.parent / "configs" / "base.yaml"
WIDTHS = (784, 500, 125, 40, 5)


def study_net() -> nn.Sequential:
    """The study's net, written out the usual way."""
    layers: list[nn.Module] = []
    for sizes in (WIDTHS, WIDTHS[::-1]):
        for width, following in pairwise(sizes):
            layers += [nn.Linear(width, following), nn.Tanh()]
        layers.pop()
    return nn.Sequential(*layers, nn.Sigmoid())


def training_images(data_dir: str, allow_subset: bool) -> torch.Tensor:
    """The (N, 1, 28, 28) uint8 images that base.yaml trains on."""
    data = MNIST(anomaly_classes=[0], data_dir=data_dir, split_seed=9)
    data.prepare_data()
    data.setup()
    if data.source == "subset" and not allow_subset:
        raise SystemExit("only the subset of MNIST could be obtained; --allow-subset measures on it all the same")
    images: torch.Tensor = data.train_in_order_dataloader().dataset.images  # type: ignore[attr-defined]
    return images


def plain_loop(images: torch.Tensor, epochs: int) -> float:
    """Seconds to train as the study does: default Adam, a shuffling DataLoader over float images.

    Args:
        images: (N, 1, 28, 28) uint8.
        epochs: passes over them.
    """
    torch.manual_seed(9)
    net = study_net()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.005)
    loader = DataLoader(TensorDataset(images.flatten(1).float() / 255), batch_size=64, shuffle=True)
    start = time.perf_counter()
    for _ in range(epochs):
        for (batch,) in loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(net(batch), batch).backward()
            optimizer.step()
    return time.perf_counter() - start


def seconds_of_loop(epochs: int, data_dir: str) -> float:
    """Seconds of the plain loop, in a fresh process."""
    words = [sys.executable, __file__, "--only-loop", "--epochs", str(epochs), "--data-dir", data_dir, "--allow-subset"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def seconds_of_fit(epochs: int, data_dir: str) -> float:
    """`fit_seconds` of a run of base.yaml on the CPU, validation and all, in a fresh process."""
    with tempfile.TemporaryDirectory() as root:
        words = [sys.executable, "-m", "aeanomaly", "fit", "--config", str(BASE), "--trainer.accelerator", "cpu"]
        words += ["--trainer.max_epochs", str(epochs), "--trainer.default_root_dir", root, "--data.data_dir", data_dir]
        subprocess.run([*words, "--trainer.devices", "1"], capture_output=True, check=True)
        record = json.loads((Path(root) / "lightning_logs" / "version_0" / "metrics.json").read_text())
        return float(record["fit_seconds"])


def run(rounds: int, epochs: int, data_dir: str, allow_subset: bool) -> None:
    """Alternate the two and print the table."""
    count = len(training_images(data_dir, allow_subset))
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, ", end="")
    print(f"lightning {lightning.__version__}; {count:,} images, {epochs} epochs, batch 64")
    print(f"{'round':>5} {'plain loop':>12} {'fit':>12} {'fit / loop':>12}")
    ratios = []
    for number in range(1, rounds + 1):
        loop, fit = seconds_of_loop(epochs, data_dir), seconds_of_fit(epochs, data_dir)
        ratios.append(fit / loop)
        print(f"{number:>5} {loop:>10.1f} s {fit:>10.1f} s {ratios[-1]:>12.2f}", flush=True)
    print(f"median ratio fit / loop: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--allow-subset", action="store_true", help="measure on the 5,000-image subset if need be")
    parser.add_argument("--only-loop", action="store_true", help="run the plain loop once and print its seconds")
    options = parser.parse_args()
    if options.only_loop:
        print(plain_loop(training_images(options.data_dir, options.allow_subset), options.epochs))
    else:
        run(options.rounds, options.epochs, options.data_dir, options.allow_subset)
