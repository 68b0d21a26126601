"""Unaligned surfaces of several kinds, made at random: what best.yaml is for besides digits.

configs/benchmark/results_textures.yaml trains on them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from aeanomaly.data.base import Arrays, OneClassDataModule

Image = NDArray[np.float64]


def _noise(generator: np.random.Generator, side: int, width: float | tuple[float, float]) -> Image:
    """Smoothed noise of standard deviation 1 that goes on beyond the edge."""
    field = ndimage.gaussian_filter(generator.standard_normal((side, side)), width, mode="wrap")
    return (field - field.mean()) / field.std()


def _stripes(generator: np.random.Generator, side: int) -> Image:
    """Nearly level stripes, six pixels apart, at any phase."""
    rows, columns = np.mgrid[:side, :side]
    angle = generator.normal(0, 0.05)
    return 0.5 + 0.18 * np.sin(
        2 * np.pi * (rows * np.cos(angle) + columns * np.sin(angle)) / 6 + generator.uniform(0, 7)
    )


def _grain(generator: np.random.Generator, side: int) -> Image:
    return 0.5 + 0.12 * _noise(generator, side, 0.8)


def _blotches(generator: np.random.Generator, side: int) -> Image:
    return 0.5 + 0.12 * _noise(generator, side, 3)


def _scratched(generator: np.random.Generator, side: int) -> Image:
    """Grain with a few bright scratches."""
    image = _grain(generator, side)
    for _ in range(3):
        start, angle = generator.uniform(0.2, 0.8, 2) * side, generator.uniform(0, np.pi)
        along = np.arange(-0.3 * side, 0.3 * side, 0.5)
        rows = (start[0] + along * np.sin(angle)).astype(int).clip(0, side - 1)
        columns = (start[1] + along * np.cos(angle)).astype(int).clip(0, side - 1)
        image[rows, columns] = 0.95
    return image


def _brighter(generator: np.random.Generator, side: int) -> Image:
    """Grain in another light."""
    return _grain(generator, side) + 0.12


KINDS: dict[str, Callable[[np.random.Generator, int], Image]] = {
    "stripes": _stripes,
    "grain": _grain,
    "blotches": _blotches,
    "scratches": _scratched,
    "brightness": _brighter,
}


def textures(kind: str, count: int, side: int, channels: int, seed: int) -> NDArray[np.uint8]:
    """(count, channels, side, side) images of a kind, each in a light, and with three channels a tint, of its own."""
    generator = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        image = KINDS[kind](generator, side) + generator.normal(0, 0.015)
        tints = generator.normal(1, 0.02, channels) * np.linspace(1, 0.8, channels)
        images.append(image * tints[:, None, None] + generator.normal(0, 0.01, (channels, side, side)))
    return (np.stack(images).clip(0, 1) * 255).round().astype(np.uint8)


class Textures(OneClassDataModule):
    """Images of every kind, whose classes are numbered as in `KINDS`.

    Args:
        side: height and width in pixels.
        channels: 1 for grey, 3 for colour.
        train: training images of each kind.
        test: test images of each kind.
        options: those of `OneClassDataModule`.
    """

    def __init__(self, side: int = 64, channels: int = 1, train: int = 100, test: int = 50, **options: Any) -> None:
        super().__init__(**options)
        self.side, self.channels, self.train, self.test = side, channels, train, test

    def load(self) -> Arrays:
        """The same images in every run."""
        images, labels = [], []
        for count, first_seed in ((self.train, 0), (self.test, len(KINDS))):
            kinds = enumerate(KINDS, first_seed)
            made = [textures(kind, count, self.side, self.channels, seed) for seed, kind in kinds]
            images.append(torch.from_numpy(np.concatenate(made)))
            labels.append(torch.arange(len(KINDS)).repeat_interleave(count))
        return Arrays(images[0], labels[0], images[1], labels[1])
