"""Metrics of pixels against scikit-learn and a loop over thresholds, and how far off bins may be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy
from sklearn.metrics import roc_auc_score
from torch import Tensor

from aeanomaly.evaluation import pixel_metrics
from aeanomaly.evaluation.pixel_metrics import PixelCounts, area, region_weights


def masks(count: int = 6, seed: int = 0) -> Tensor:
    """(count, 12, 10) with regions of unequal size, some of which touch at corners only; the first has none."""
    drawn = torch.rand(count, 6, 5, generator=torch.Generator().manual_seed(seed)) < 0.25
    drawn[0] = False
    return 255 * drawn.repeat_interleave(2, 1).repeat_interleave(2, 2).to(torch.uint8)


def maps(of: Tensor, seed: int = 1, step: float = 0.0) -> Tensor:
    """Values of both signs that tell a little of the masks; with a step, many are the same."""
    noise = torch.randn(of.shape, generator=torch.Generator().manual_seed(seed))
    values = noise + 0.8 * (of != 0)
    return (values / step).round() * step if step else values


@pytest.mark.parametrize("first", [0, 1])
def test_counts_of_devices_with_bins_of_unequal_width_are_those_of_all(
    first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Joined as two devices would, each of which calls `gathered` in turn with its rows before those of the other."""
    of, parts = masks(8), [PixelCounts(50), PixelCounts(50)]
    values = torch.cat([maps(of[:2], step=1.0), maps(of[2:], seed=2)])  # few values in one part, many in the other
    for part, some in zip(parts, (slice(2), slice(2, None)), strict=True):
        part.add(values[some], of[some])
    assert parts[0]._left_out < parts[1]._left_out
    whole = PixelCounts(50)
    whole.add(values, of)
    mine, other = parts[first], parts[1 - first]
    left_out = max(part._left_out for part in parts)
    of_other = iter([
        torch.tensor([[other._left_out, int(other._finite)]]),
        other._bins >> left_out - other._left_out,
        other._counts,
    ])  # fmt: skip
    monkeypatch.setattr(pixel_metrics, "gather_rows", lambda rows, strategy: torch.cat([rows, next(of_other)]))
    found = mine.gathered(SingleDeviceStrategy("cpu"))
    assert torch.equal(found._bins, whole._bins)
    torch.testing.assert_close(found._counts, whole._counts)


def regions(mask: Tensor) -> list[set[tuple[int, int]]]:
    """Sets of anomalous pixels that touch, by walking from each to its eight neighbours."""
    left = {(int(y), int(x)) for y, x in mask.nonzero()}
    found = []
    while left:
        region, edge = set(), [left.pop()]
        while edge:
            y, x = edge.pop()
            region.add((y, x))
            around = {(y + down, x + right) for down in (-1, 0, 1) for right in (-1, 0, 1)} & left
            left -= around
            edge += around
        found.append(region)
    return found


def overlap_up_to(values: Tensor, of: Tensor, limit: float) -> float:
    """AUPRO by its definition: for every threshold, the share of each region above it, and the trapezoids below."""
    every = [(image, region) for image, mask in enumerate(of) for region in regions(mask)]
    normal, total, before = values[of == 0], 0.0, (0.0, 0.0)
    for threshold in values.unique().flip(0).tolist():
        rate = float((normal >= threshold).double().mean())
        overlap = float(
            np.mean([np.mean([values[image, y, x] >= threshold for y, x in part]) for image, part in every])
        )
        if rate > limit:  # the last line ends in between
            share = (limit - before[0]) / (rate - before[0])
            rate, overlap = limit, before[1] + share * (overlap - before[1])
        total += (rate - before[0]) * (before[1] + overlap) / 2
        before = (rate, overlap)
        if rate == limit:
            break
    return total / limit


def counted(values: Tensor, of: Tensor, size: int = 100, **options: int) -> PixelCounts:
    counts = PixelCounts(**options)
    for some, mask in zip(values.split(size), of.split(size), strict=True):
        counts.add(some, mask)
    return counts


def errors(counts: PixelCounts) -> dict[str, float]:
    """By how much each metric may differ from that of the values themselves; 0 while no bit is left out."""
    return {name: largest_error(*curve) if counts._left_out else 0.0 for name, curve in counts._curves().items()}


def largest_error(x: Tensor, y: Tensor, limit: float) -> float:
    """How far `area` may be from that of any ascending curve through the same points."""
    width, rise = x.diff(), y.diff()
    inside = (limit - x[:-1]).clamp(min=0).minimum(width)
    # A curve stays in the box between two points, and the line halves the box unless the limit cuts it.
    return float((inside * rise * torch.where(inside < width, 1.0, 0.5)).sum() / limit)


@pytest.mark.parametrize("step", [0.0, 0.5])
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_pixel_auroc_is_that_of_scikit_learn(step: float, scale: float) -> None:
    of = masks()
    values = maps(of, step=step)
    found = counted(values * scale, of, size=2)
    expected = roc_auc_score((of != 0).flatten().numpy(), values.flatten().numpy())
    assert found.metrics()["pixel_auroc"] == pytest.approx(expected, abs=1e-12)
    assert errors(found) == {"pixel_auroc": 0.0, "aupro": 0.0}


@pytest.mark.parametrize("step", [0.0, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_aupro_is_that_of_a_loop_over_thresholds(step: float, seed: int) -> None:
    of = masks(4, seed)
    values = maps(of, seed + 10, step)
    assert counted(values, of, size=3).metrics()["aupro"] == pytest.approx(overlap_up_to(values, of, 0.3), abs=1e-12)


def test_maps_that_find_all_or_nothing_have_the_values_that_are_known() -> None:
    of = masks()
    assert counted((of != 0).float(), of).metrics() == pytest.approx({"pixel_auroc": 1.0, "aupro": 1.0})
    assert counted(torch.zeros(of.shape), of).metrics() == pytest.approx({"pixel_auroc": 0.5, "aupro": 0.15})


def test_a_small_region_counts_as_much_as_a_large_one() -> None:
    of = torch.zeros(1, 10, 10, dtype=torch.uint8)
    of[0, 0, 0], of[0, 4:, 4:] = 1, 1
    values = torch.zeros(of.shape)
    values[0, 4:, 4:] = 1  # finds the large one alone: half of the regions at once, the rest along the diagonal
    assert counted(values, of).metrics()["aupro"] == pytest.approx(0.5 + 0.5 * 0.15)
    assert region_weights(of).sum().item() == pytest.approx(2)


def test_pixels_that_touch_at_a_corner_are_one_region_and_those_of_two_images_are_two() -> None:
    of = torch.zeros(2, 4, 4, dtype=torch.uint8)
    of[0, 0, 0] = of[0, 1, 1] = of[1, 0, 0] = 1
    weights = region_weights(of)
    assert (weights[0, 0, 0], weights[0, 1, 1], weights[1, 0, 0]) == (0.5, 0.5, 1)
    assert weights.sum() == 2


def test_the_area_ends_between_two_points_where_the_limit_does() -> None:
    x, y = torch.tensor([0, 0, 0.2, 0.4, 1]).double(), torch.tensor([0, 0.5, 0.5, 0.9, 1]).double()
    assert area(x, y, 0.3) == pytest.approx((0.2 * 0.5 + 0.1 * 0.6) / 0.3)
    assert area(x, y) == pytest.approx(0.2 * 0.5 + 0.2 * 0.7 + 0.6 * 0.95)


@pytest.mark.parametrize("bins", [8, 50, 400])
@pytest.mark.parametrize("offset", [0.0, 1000.0])  # far from 0, float32 has the fewest bits to tell values apart by
def test_few_bins_are_wrong_by_no_more_than_their_counts_say(bins: int, offset: float) -> None:
    of = masks(60)
    values = maps(of) + offset
    exact, found = counted(values, of), counted(values, of, size=7, bins=bins)
    assert len(found._bins) <= bins
    assert errors(exact)["aupro"] == 0
    for metric, value in found.metrics().items():
        bound = errors(found)[metric]
        assert 0 < abs(value - exact.metrics()[metric]) <= bound
        assert bound < 10 / bins


def test_bins_do_not_depend_on_the_order_or_the_batches() -> None:
    of = masks(60)
    values = maps(of)
    one, other = counted(values, of, bins=100), counted(values.flip(0), of.flip(0), size=1, bins=100)
    assert torch.equal(one._bins, other._bins)
    assert one.metrics() == pytest.approx(other.metrics(), abs=1e-12)


def test_memory_does_not_grow_with_the_pixels() -> None:
    counts = PixelCounts(bins=1000)
    for seed in range(20):
        of = masks(50, seed)
        counts.add(maps(of, seed), of)
        assert len(counts._bins) == len(counts._counts) <= 1000
    assert counts._counts[:, :2].sum() == 20 * 50 * 12 * 10


def test_memory_does_not_grow_with_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels: list[int] = []
    merge = PixelCounts._merge

    def watched(self: PixelCounts, bins: Tensor, counts: Tensor) -> None:
        pixels.append(len(bins))
        merge(self, bins, counts)

    monkeypatch.setattr(PixelCounts, "_merge", watched)
    PixelCounts().add(torch.arange(1024.0).remainder(100).view(-1, 1, 1).expand(-1, 32, 40), torch.zeros(1024, 32, 40))
    assert sum(pixels) == 1024 * 32 * 40
    assert max(pixels) <= 2**20  # a pixel takes 122 bytes meanwhile


@pytest.mark.parametrize("case", ["no anomaly", "nothing normal", "not finite", "nothing"])
def test_nothing_is_made_up(case: str) -> None:
    of = masks()
    values = maps(of)
    if case == "no anomaly":
        of = torch.zeros_like(of)
    elif case == "nothing normal":
        of = torch.ones_like(of)
    elif case == "not finite":
        values[2, 3, 4] = torch.nan
    found = PixelCounts() if case == "nothing" else counted(values, of, size=1)
    assert found.metrics() == errors(found) == {}
