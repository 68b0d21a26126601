"""Training steps and forward passes of the nets in configs/, for nets_and_scores.py."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from typing import Any

import torch
from configured import nets
from limit import precisions
from markdown_section import Report
from times import Times, measure
from torch import Tensor, nn

from aeanomaly.models.base import Autoencoder
from aeanomaly.training.module import LitAutoencoder
from aeanomaly.training.running_loss import total

PASSES = 3  # forward passes that bound a step: gradients take two products for each one of the forward pass
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
Ways = dict[str, Callable[[], object]]


def training_ways(net: Autoencoder, optimizer: Any, batch: Tensor, precision: str = "float32") -> Ways:
    """A training step of a copy of the net, and a forward pass of the net itself, which is in evaluation mode."""
    trained = copy.deepcopy(net).train()
    updates = optimizer(p for p in trained.parameters() if p.requires_grad)

    def context() -> torch.autocast:
        return torch.autocast(batch.device.type, dtype=torch.bfloat16, enabled=precision == "bf16")

    def step() -> None:
        with context():
            loss = total(trained.training_loss(batch)[0])
        updates.zero_grad()
        loss.backward()
        updates.step()

    def forward() -> None:
        with torch.inference_mode(), context():
            net(batch)

    return {"step": step, "forward": forward}


def has_convolutions(net: nn.Module) -> bool:
    """Whether the layout of maps matters to it."""
    return any(isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)) for part in net.modules())


def variant_ways(module: LitAutoencoder, batch: Tensor) -> dict[str, Ways]:
    """Both ways of a net, by precision and layout."""
    ways = {}
    for precision in precisions(batch.device.type):
        for layout, kind in LAYOUTS.items():
            net: Any = copy.deepcopy(module.net).to(memory_format=kind)
            arranged = batch.contiguous(memory_format=kind)
            ways[f"{precision}, {layout}"] = training_ways(net, module.optimizer, arranged, precision)
    return ways


def variant_rows(name: str, ways: dict[str, Ways], times: Times, images: int) -> list[list[str]]:
    """Images per second, and how many times those of the first variant they are."""
    rows, first = [], next(iter(ways))
    for variant in ways:
        cells = [f"{name}, {variant}"]
        for what in ("step", "forward"):
            row = f"{what} {variant}"
            cells += [f"{images / times.seconds(row):,.0f}", f"{times.ratio(f'{what} {first}', row):.2f}"]
        rows.append(cells)
    return rows


def add_nets(report: Report, batch: Tensor, options: argparse.Namespace) -> None:
    """Every net as its config has it, then those with convolutions in each layout and precision."""
    rows, variants = [], []
    for name, module in nets(options.only):
        module.net.to(options.device)
        times = measure(training_ways(module.net, module.optimizer, batch), options.rounds, options.seconds)
        rates = [f"{len(batch) / times.seconds(row):,.0f}" for row in ("step", "forward")]
        ratio = times.ratio("step", "forward")
        rows.append([name, *rates, f"{ratio:.2f}", f"{ratio / PASSES:.2f}"])
        if has_convolutions(module.net):
            ways = variant_ways(module, batch)
            flat = {f"{what} {variant}": way for variant, both in ways.items() for what, way in both.items()}
            times = measure(flat, options.rounds, options.seconds)
            variants += variant_rows(name, ways, times, len(batch))
    if rows:
        report.table(["net", "images per second, training", "forward", "step / forward", "/ bound"], rows)
        report.sentence(f"The bound of a step: {PASSES} forward passes.")
    if variants:
        report.table(["net", "images per second, training", "x the first", "forward", "x the first"], variants)
