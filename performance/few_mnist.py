"""MNIST with fewer images or the same ones several times, for the benchmarks."""

from __future__ import annotations

from typing import Any

from aeanomaly.data.base import Arrays
from aeanomaly.data.sources.mnist import MNIST


class FewMNIST(MNIST):
    """The first images of both splits.

    Args:
        images: how many to keep of the training split, and at most of the test split; None for all.
        kwargs: options of `MNIST`.
    """

    def __init__(self, images: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.images = images

    def load(self) -> Arrays:
        """The first images."""
        return Arrays(*(part[: self.images] for part in super().load()[:4]))
