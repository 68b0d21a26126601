"""How well maps say where: metrics over all pixels of a test, which are counted and not kept."""

from __future__ import annotations

import numpy as np
import torch
from lightning.pytorch.strategies import Strategy
from scipy.ndimage import label
from torch import Tensor

from aeanomaly.distributed.gather import gather_rows

FPR_LIMIT = 0.3  # up to which the overlap is averaged, as in the source
BINS = 2**18  # 8 MiB of counts
_AT_ONCE = 2**20  # pixels; each takes 122 bytes while it is counted


def area(x: Tensor, y: Tensor, limit: float = 1.0) -> float:
    """Mean height, for x from 0 to ``limit``, of a curve through points that are joined by lines.

    Args:
        x: (K,) ascending from 0, to ``limit`` at least.
        y: (K,).
    """
    width, rise = x.diff(), y.diff()
    inside = (limit - x[:-1]).clamp(min=0).minimum(width)
    slope = rise / width.where(width > 0, 1)
    return float((inside * (y[:-1] + slope * inside / 2)).sum() / limit)


def region_weights(masks: Tensor) -> Tensor:
    """(B, H, W) float64: 1 / size of the region that a pixel is in, 0 outside of all.

    A region is a set of anomalous pixels that touch, at corners too.

    Args:
        masks: (B, H, W), 0 for normal pixels.
    """
    weights = torch.zeros(masks.shape, dtype=torch.float64)
    for weight, mask in zip(weights.numpy(), masks.cpu().numpy(), strict=True):
        if mask.any():
            regions, _ = label(mask, np.ones((3, 3)))
            sizes = np.bincount(regions.ravel())
            weight[:] = np.where(mask != 0, 1 / sizes[regions], 0)
    return weights


class PixelCounts:
    """Counts of the pixels of maps by their value, from which the metrics of a test follow.

    A bin holds the values whose float32 bits agree but for the last ones. At first no bit is left out: each value has a
    bin of its own, and all is exact. Whenever there are more than `BINS`, one bit more is left out. So memory does not
    grow with the number of pixels, bins are as fine as the values allow whatever their scale, and neither the order of
    the images nor the number of devices matters. How far off the metrics may be is of the order of 1 / BINS.

    - ``pixel_auroc``: area under the ROC curve over all pixels of all images.
    - ``aupro``: per-region overlap, the share of a region above a threshold averaged over regions, averaged over false
      positive rates of pixels up to 30 % (Bergmann et al., The MVTec Anomaly Detection Dataset, 2021). Small regions
      count as much as large ones. A map without information gets 0.15.

    Args:
        bins: at most how many.
    """

    def __init__(self, bins: int = BINS) -> None:
        self._most = bins
        self._left_out = 0  # bits
        self._finite = True
        self._bins = torch.empty(0, dtype=torch.long)  # (K,) ascending
        self._counts = torch.empty((0, 3), dtype=torch.float64)  # normal, anomalous, regions by their shares

    def add(self, maps: Tensor, masks: Tensor) -> None:
        """Count the pixels of (B, H, W) maps; (B, H, W) masks are not 0 where a pixel is anomalous."""
        rows = max(1, _AT_ONCE // max(1, maps.shape[1] * maps.shape[2]))
        for some, of in zip(maps.detach().split(rows), masks.split(rows), strict=True):
            values, of = some.cpu().float().flatten(), of.cpu()
            anomalous = of.flatten() != 0
            self._finite = self._finite and bool(values.isfinite().all())
            kinds = torch.stack([~anomalous, anomalous, region_weights(of).flatten()], dim=1)
            self._merge(_ordered_bits(values) >> self._left_out, kinds.double())

    def _merge(self, bins: Tensor, counts: Tensor) -> None:
        """Add counts in bins of the present width, and widen the bins if there are too many."""
        bins, counts = torch.cat([self._bins, bins]), torch.cat([self._counts, counts])
        while True:
            self._bins, place = bins.unique(return_inverse=True)
            self._counts = counts.new_zeros((len(self._bins), 3)).index_add_(0, place, counts)
            if len(self._bins) <= self._most:
                return
            bins, counts = self._bins >> 1, self._counts
            self._left_out += 1

    def gathered(self, strategy: Strategy) -> PixelCounts:
        """The counts of all devices together, on every device; every device must call it."""
        together = PixelCounts(self._most)
        state = gather_rows(torch.tensor([[self._left_out, int(self._finite)]]), strategy).cpu()
        together._left_out, together._finite = int(state[:, 0].max()), bool(state[:, 1].all())
        bins = gather_rows(self._bins >> together._left_out - self._left_out, strategy).cpu()
        together._merge(bins, gather_rows(self._counts, strategy).cpu())
        return together

    def metrics(self) -> dict[str, float]:
        """Both metrics; none without normal and anomalous pixels, or where a value is not finite."""
        curves = self._curves()
        return {name: area(*curve) for name, curve in curves.items()}

    def _curves(self) -> dict[str, tuple[Tensor, Tensor, float]]:
        """False positive rates and heights of both curves, from the strictest threshold on, and their limits."""
        totals = self._counts.sum(0)
        if not self._finite or not totals[:2].all():
            return {}
        rates = torch.cat([torch.zeros(1, 3), self._counts.flip(0).cumsum(0) / totals])
        return {"pixel_auroc": (rates[:, 0], rates[:, 1], 1.0), "aupro": (rates[:, 0], rates[:, 2], FPR_LIMIT)}


def _ordered_bits(values: Tensor) -> Tensor:
    """(N,) float32 to int64 in the same order, the bits of their absolute value; 0 and -0 are the same."""
    bits = values.view(torch.int32).long()
    return bits.where(bits >= 0, -(bits & 0x7FFFFFFF))
