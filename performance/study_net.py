"""The study's net and settings, and a clock for loops that train it."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

import torch
from limit import WIDTHS
from torch import nn

BATCH, RATE, SEED = 64, 0.005, 9


def study_net() -> nn.Sequential:
    """The study's net, written out the usual way."""
    layers: list[nn.Module] = []
    for sizes in (WIDTHS, WIDTHS[::-1]):
        for width, following in pairwise(sizes):
            layers += [nn.Linear(width, following), nn.Tanh()]
        layers.pop()
    return nn.Sequential(*layers, nn.Sigmoid())


def now(device: str) -> float:
    """Seconds, with nothing left to do on the device."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def timed_epochs(epoch: Callable[[], None], epochs: int, device: str) -> list[float]:
    """Seconds of each call."""
    stamps = [now(device)]
    for _ in range(epochs):
        epoch()
        stamps.append(now(device))
    return [end - start for start, end in pairwise(stamps)]
