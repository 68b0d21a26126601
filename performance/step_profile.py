"""What a training step and a scored batch are made of: where the time goes that the targets do not allow for.

    python performance/step_profile.py

On the CPU, on random images, about a minute. Three tables:

- the operators of a step of base.yaml and of recipes/fast.yaml, beside the time of as large matrix products alone;
- the same step in a plain loop and in a chunk of `LitAutoencoder.training_step`, in turn in one process, with as many
  callbacks as configs/base.yaml has;
- the parts of a scored batch beside the forward pass.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import lightning as L
import torch
from limit import PRECISIONS, WIDTHS, precisions, product_rate, step_operations
from markdown_section import Report, add_options
from study_net import study_net
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from aeanomaly.data.table import ImageTable
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.outputs import Batch, Output
from aeanomaly.scores.kmeans import KMeans
from aeanomaly.scores.reconstruction import ReconstructionError
from aeanomaly.training.module import LitAutoencoder
from aeanomaly.training.optim import Adam
from aeanomaly.training.precision import Quickest

IMAGES, STEPS, CALLBACKS = 20_000, 60, 13
GROUPS = {
    "matrix products": ("aten::mm", "aten::addmm"),
    "casts and copies": ("aten::copy_", "aten::_to_copy", "aten::to"),
    "loss": ("aten::mse_loss", "aten::mse_loss_backward"),
    "optimiser": ("aten::_fused_adam_", "Optimizer.step#Adam.step"),
    "activations": ("tanh", "silu", "sigmoid"),
    "batch": ("aten::index_select", "aten::div"),
    "bias gradients, zeros, sums": ("aten::sum", "aten::fill_", "aten::add_"),
}


def group_of(name: str) -> str:
    """The group that an operator is counted in."""
    for group, members in GROUPS.items():
        if any(name == member or ("::" not in member and member in name) for member in members):
            return group
    return "Python, autograd, the rest"


class OneChunk(L.LightningDataModule):
    """A fit of one call, whose chunk of batches is a generator: between two batches lies a step."""

    def __init__(self, batches: Callable[[], Iterator[Batch]]) -> None:
        super().__init__()
        self.batches = batches

    def serve_chunks(self, most: int) -> int:
        """Always: the profile is that of a step within a chunk."""
        return most

    def train_dataloader(self) -> Any:
        """A loader with one item."""
        return _Once(self.batches)

    def val_dataloader(self) -> Any:
        return []  # without this method Lightning would warn


class _Once:
    def __init__(self, batches: Callable[[], Iterator[Batch]]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Any]:
        yield _Generated(self.batches)


class _Generated:
    def __init__(self, batches: Callable[[], Iterator[Batch]]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Batch]:
        return self.batches()


def train(activation: type[nn.Module], precision: Quickest, batches: Callable[[], Iterator[Batch]]) -> None:
    """Train the net of the study, with another activation and precision, on what the generator yields."""
    torch.manual_seed(9)
    module = LitAutoencoder(
        DenseAutoencoder((1, 28, 28), activation=activation),
        {},
        optimizer=lambda parameters: Adam(parameters, lr=0.001),
    )
    callbacks = [type(f"Callback{number}", (L.Callback,), {})() for number in range(CALLBACKS)]
    options: dict[str, Any] = {"max_epochs": 1, "accelerator": "cpu", "devices": 1, "limit_val_batches": 0}
    for part in ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"):
        options[part] = False
    if precision.precision != "32-true":
        options["plugins"] = precision
    trainer = L.Trainer(callbacks=callbacks, **options)
    trainer.fit(module, OneChunk(batches))


def profiled(
    activation: type[nn.Module], precision: Quickest, table: ImageTable, size: int
) -> tuple[dict[str, float], float]:
    """Milliseconds of each group in a step under the profiler, and of a whole step without it."""
    order = list(torch.randperm(IMAGES).split(size))[: IMAGES // size]
    groups: dict[str, float] = {}
    whole = 0.0

    def some() -> Iterator[Batch]:
        for number in range(STEPS):
            yield table.gather(order[number % len(order)])

    def batches() -> Iterator[Batch]:
        nonlocal whole
        yield from some()
        start = time.perf_counter()
        yield from some()
        whole = (time.perf_counter() - start) / STEPS
        with profile(activities=[ProfilerActivity.CPU]) as record:
            yield from some()
        for event in record.key_averages():
            group = group_of(event.key)
            groups[group] = groups.get(group, 0.0) + event.self_cpu_time_total / 1e3 / STEPS

    train(activation, precision, batches)
    return groups, 1e3 * whole


def in_turn(ways: dict[str, Callable[[], object]], rounds: int, times: int) -> dict[str, float]:
    """Median milliseconds of a call of each way."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 2):
        for name, way in ways.items():
            start = time.perf_counter()
            for _ in range(times):
                way()
            if number > 1:
                taken[name].append(1e3 * (time.perf_counter() - start) / times)
    return {name: statistics.median(values) for name, values in taken.items()}


def steps_table(report: Report, table: ImageTable) -> None:
    """Operators of a step."""
    rates = {name: product_rate(PRECISIONS[name], "cpu") for name in precisions("cpu")}
    full = Quickest("cpu")
    full.precision = "32-true"
    quickest = Quickest("cpu")
    cases = {"base.yaml": (nn.Tanh, full, 64), "fast.yaml": (nn.SiLU, quickest, 512)}
    columns, wholes, limits = {}, {}, {}
    for name, (activation, precision, size) in cases.items():
        columns[name], wholes[name] = profiled(activation, precision, table, size)
        rate = rates["bf16" if precision.precision == "bf16-mixed" else "float32"]
        limits[name] = 1e3 * step_operations() * size / rate
    groups = sorted(set().union(*columns.values()), key=lambda group: -columns["fast.yaml"].get(group, 0.0))
    rows = []
    for group in groups:
        cells = [group]
        for name in cases:
            value = columns[name].get(group, 0.0)
            cells += [f"{value:.2f}", f"{100 * value / sum(columns[name].values()):.0f}"]
        rows.append(cells)
    rows.append(["a step without the profiler", *(c for name in cases for c in (f"{wholes[name]:.2f}", ""))])
    rows.append(["its products at the rate of the limit", *(c for name in cases for c in (f"{limits[name]:.2f}", ""))])
    report.table(["milliseconds a step", "base.yaml", "%", "fast.yaml", "%"], rows)


def loop_table(report: Report, table: ImageTable) -> None:
    """The step of a plain loop and ours."""
    full = Quickest("cpu")
    full.precision = "32-true"
    net = study_net()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001, fused=True)
    flat, order = table.images.flatten(1), torch.randperm(IMAGES).split(64)[: IMAGES // 64]
    taken: dict[str, list[float]] = {"plain loop": [], "chunk of training_step": []}

    def plain(index: Tensor) -> None:
        batch = flat.index_select(0, index) / 255
        loss = nn.functional.mse_loss(net(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def batches() -> Iterator[Batch]:
        for number in range(42):
            some = [order[(20 * number + step) % len(order)] for step in range(20)]
            start = time.perf_counter()
            for index in some:
                plain(index)
            between = time.perf_counter()
            for index in some:
                yield table.gather(index)
            if number > 1:
                taken["plain loop"].append(1e3 * (between - start) / 20)
                taken["chunk of training_step"].append(1e3 * (time.perf_counter() - between) / 20)

    train(nn.Tanh, full, batches)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    rows = [[name, f"{value:.3f}", f"{value / medians['plain loop']:.3f}"] for name, value in medians.items()]
    report.table(["step of base.yaml", "milliseconds", "/ plain loop"], rows)


def scoring_table(report: Report, table: ImageTable) -> None:
    """Parts of a scored batch of 2048."""
    net, error, kmeans = DenseAutoencoder((1, 28, 28)).eval(), ReconstructionError(), KMeans()
    index = torch.arange(2048)
    with torch.inference_mode():
        image = table.gather(index).image
        output: Output = net(image)
        kmeans.centres, kmeans.counts = torch.rand(9, 5), torch.ones(9)
        ways: dict[str, Callable[[], object]] = {
            "forward pass": lambda: net(image),
            "gathering from uint8": lambda: table.gather(index),
            "reconstruction error": lambda: error(output),
            "KMeans distance": lambda: kmeans(output),
        }
        taken = in_turn(ways, 15, 5)
    rows = [[name, f"{value:.2f}", f"{value / taken['forward pass']:.2f}"] for name, value in taken.items()]
    report.table(["batch of 2048", "milliseconds", "/ forward"], rows)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    images = (torch.rand(IMAGES, 1, *[round(WIDTHS[0] ** 0.5)] * 2) ** 4 * 255).to(torch.uint8)
    table = ImageTable(images, torch.zeros(IMAGES, dtype=torch.int64), torch.zeros(IMAGES, dtype=torch.bool))
    report = Report("step_profile")
    steps_table(report, table)
    loop_table(report, table)
    scoring_table(report, table)
    report.publish(options)


if __name__ == "__main__":
    main()
