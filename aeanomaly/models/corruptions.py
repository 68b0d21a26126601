"""Corruptions of images, from which a denoising net learns to restore them.

All draw from torch's global generator of the images' device, for each image anew, so that they differ from step to
step, follow the seed, and a resumed run repeats them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from aeanomaly.errors import UserError
from aeanomaly.models.rectangles import Rectangles, moved, up_to
from aeanomaly.outputs import Described


class Corruption(Described, nn.Module, ABC):
    """Corrupts images in training mode and leaves them as they are in evaluation mode, as dropout does."""

    @abstractmethod
    def corrupt(self, x: Tensor) -> Tensor:
        """(B, C, H, W) images in [0, 1] to corrupted ones of the same shape; ``x`` itself stays as it is."""

    def forward(self, x: Tensor) -> Tensor:
        """The (B, C, H, W) images, corrupted in training mode."""
        return self.corrupt(x) if self.training else x


class GaussianNoise(Corruption):
    """Adds normal noise to each value; results below 0 and above 1 stay (Vincent et al., 2010).

    Args:
        deviation: standard deviation of the noise; pixels lie in [0, 1].
    """

    def __init__(self, deviation: float = 0.2) -> None:
        super().__init__()
        _check(deviation >= 0, f"deviation of at least 0, got {deviation=}")
        self.deviation = deviation

    def corrupt(self, x: Tensor) -> Tensor:
        """Add noise."""
        return x + self.deviation * torch.randn_like(x)


class Masking(Corruption):
    """Sets random pixels to 0 in all their channels (Vincent et al., 2008).

    Args:
        share: probability of a pixel to be set to 0.
    """

    def __init__(self, share: float = 0.3) -> None:
        super().__init__()
        _check(0 <= share <= 1, f"a share in [0, 1], got {share=}")
        self.share = share

    def corrupt(self, x: Tensor) -> Tensor:
        """Mask pixels."""
        return x * (torch.rand_like(x[:, :1]) >= self.share)


class _OfRectangles(Corruption):
    """What corruptions of one random rectangle in each image share.

    Args:
        area: least and greatest share of the image's area, drawn uniformly.
        aspect: least and greatest ratio of height to width, its logarithm drawn uniformly. A rectangle that would be
            higher or wider than the image ends at its border.
    """

    def __init__(self, area: tuple[float, float] = (0.02, 0.15), aspect: tuple[float, float] = (0.3, 3.3)) -> None:
        super().__init__()
        _check(0 < area[0] <= area[1] <= 1, f"shares of the area in (0, 1], the least first, got {area=}")
        _check(0 < aspect[0] <= aspect[1], f"ratios above 0, the least first, got {aspect=}")
        self.area, self.aspect = area, aspect

    def rectangles(self, x: Tensor) -> Rectangles:
        """One for each of the (B, C, H, W) images."""
        height, width = x.shape[2:]
        area = torch.empty(len(x), device=x.device).uniform_(*self.area) * height * width
        aspect = torch.empty(len(x), device=x.device).uniform_(*map(math.log, self.aspect)).exp()
        high = (area * aspect).sqrt().round().long().clamp(1, height)
        wide = (area / aspect).sqrt().round().long().clamp(1, width)
        return Rectangles(up_to(height - high), up_to(width - wide), high, wide)


class Cutout(_OfRectangles):
    """Fills a random rectangle of each image with one value (DeVries and Taylor, 2017).

    Args:
        area: least and greatest share of the image's area, drawn uniformly.
        aspect: least and greatest ratio of height to width, its logarithm drawn uniformly.
        value: what it is filled with.
    """

    def __init__(
        self, area: tuple[float, float] = (0.02, 0.15), aspect: tuple[float, float] = (0.3, 3.3), value: float = 0.0
    ) -> None:
        super().__init__(area, aspect)
        self.value = value

    def corrupt(self, x: Tensor) -> Tensor:
        """Cut rectangles out."""
        return x.masked_fill(self.rectangles(x).mask(x), self.value)


class CutPaste(_OfRectangles):
    """Pastes a random rectangle onto another place of the image (Li et al., CutPaste, 2021).

    Args:
        area: least and greatest share of the image's area, drawn uniformly.
        aspect: least and greatest ratio of height to width, its logarithm drawn uniformly.
        source: where the rectangle is cut: the image itself, or another image of the batch (itself if it is alone).
    """

    def __init__(
        self,
        area: tuple[float, float] = (0.02, 0.15),
        aspect: tuple[float, float] = (0.3, 3.3),
        source: Literal["same", "other"] = "same",
    ) -> None:
        super().__init__(area, aspect)
        _check(source in ("same", "other"), f"a source of same or other, got {source=}")
        self.source = source

    def corrupt(self, x: Tensor) -> Tensor:
        """Paste rectangles."""
        to = self.rectangles(x)
        height, width = x.shape[2:]
        down, right = up_to(height - to.height) - to.top, up_to(width - to.width) - to.left
        images = torch.arange(len(x), device=x.device)
        if self.source == "other" and len(x) > 1:  # each the one so many places after it, never itself
            images = (images + torch.randint(1, len(x), (1,), device=x.device)) % len(x)
        return torch.where(to.mask(x), moved(x[images], down, right), x)


class PatchSwap(Corruption):
    """Swaps two random patches of each image, some times over (Chen et al., image context restoration, 2019).

    Args:
        size: height and width of a patch, as a share of the image's.
        swaps: how often.
    """

    def __init__(self, size: float = 0.25, swaps: int = 1) -> None:
        super().__init__()
        _check(0 < size <= 1 and swaps >= 1, f"a size in (0, 1] and a swap at least, got {size=}, {swaps=}")
        self.size, self.swaps = size, swaps

    def corrupt(self, x: Tensor) -> Tensor:
        """Swap patches.

        Raises:
            UserError: if two patches do not fit into the image.
        """
        for _ in range(self.swaps):
            one, two = self._disjoint(x)
            down, right = two.top - one.top, two.left - one.left
            there, back = moved(x, down, right), moved(x, -down, -right)
            x = torch.where(one.mask(x), there, torch.where(two.mask(x), back, x))
        return x

    def _disjoint(self, x: Tensor) -> tuple[Rectangles, Rectangles]:
        """Two different cells of a grid of patches that begins at a random place of each image."""
        height, width = x.shape[2:]
        high, wide = max(1, round(self.size * height)), max(1, round(self.size * width))
        rows, columns = height // high, width // wide
        _check(rows * columns > 1, f"a size of which two fit into {height}x{width} pixels, got size={self.size}")

        def drawn(least: int, below: int) -> Tensor:
            return torch.randint(least, below, (len(x),), device=x.device)

        top, left = drawn(0, height - rows * high + 1), drawn(0, width - columns * wide + 1)
        first = drawn(0, rows * columns)
        second = (first + drawn(1, rows * columns)) % (rows * columns)
        sides = torch.full_like(top, high), torch.full_like(top, wide)
        one, two = (
            Rectangles(top + cell // columns * high, left + cell % columns * wide, *sides) for cell in (first, second)
        )
        return one, two


def _check(right: bool, need: str) -> None:
    if not right:
        raise UserError(f"model.net: the corruption needs {need}")
