"""The picture of the study: densities of normal and anomalous scores, with the thresholds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import gaussian_kde
from torch import Tensor

from aeanomaly.plots.kinds import ANOMALY_COLOUR, NORMAL_COLOUR

_KDE_POINTS = 2000  # a smoother estimate needs no more, and its cost grows with the number of points
_GRID_POINTS = 400
_TAILS = (0.005, 0.995)  # a few extreme scores beyond these quantiles would squeeze everything else into a corner
# Name, colour, hatch of the area, style of the line.
_KINDS: tuple[tuple[str, str, str, Any], ...] = (
    ("normal", NORMAL_COLOUR, "", "-"),
    ("anomalous", ANOMALY_COLOUR, "////", (0, (6, 2))),
)
_THRESHOLD_STYLES = ("--", ":", "-.", (0, (1, 3)))


@dataclass(frozen=True)
class Densities:
    """The densities of normal and anomalous scores along one axis.

    Attributes:
        grid: (G,) scores, from the left end of the axis to the right.
        curves: (G,) densities of each kind; None for scores that are too much alike for a curve, or missing.
        medians: of each kind, where a line can stand for the curve; NaN if there is no finite score.
    """

    grid: NDArray[np.float64]
    curves: tuple[NDArray[np.float64] | None, ...]
    medians: tuple[float, ...]


def densities(normal: Tensor, anomalous: Tensor, thresholds: Iterable[float]) -> Densities:
    """Both densities of one score, on an axis that has every finite threshold on it.

    Args:
        normal, anomalous: (N,) scores of each kind; may be empty. What is not finite is left out.
        thresholds: values.
    """
    finite = [values[values.isfinite()] for values in (normal, anomalous)]
    not_negative = all(bool((values >= 0).all()) for values in finite)
    samples = [_sample(values) for values in finite]
    low, high = _limits(samples, [value for value in thresholds if math.isfinite(value)], not_negative)
    grid = np.linspace(low, high, _GRID_POINTS)
    curves = [
        _density(sample, grid, not_negative) if _bandwidth(sample) > (high - low) / _GRID_POINTS else None
        for sample in samples
    ]
    return Densities(grid, tuple(curves), tuple(float(np.median(s)) if len(s) else math.nan for s in samples))


def density_figure(score: str, normal: Tensor, anomalous: Tensor, thresholds: dict[str, float]) -> Figure:
    """Both densities of one score in one picture, with a dashed line per threshold.

    A group whose scores are too much alike for a curve becomes a vertical line.

    Args:
        score: its name, for the axis.
        normal, anomalous: (N,) scores of each kind; may be empty. What is not finite is left out.
        thresholds: value by name; values that are not finite are left out.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    lines = {name: value for name, value in thresholds.items() if math.isfinite(value)}
    drawn = densities(normal, anomalous, lines.values())
    for (kind, colour, hatch, style), group, density, median in zip(
        _KINDS, (normal, anomalous), drawn.curves, drawn.medians, strict=True
    ):
        label = f"{kind} ({len(group):,})"
        if density is not None:
            axes.plot(drawn.grid, density, color=colour, linestyle=style, label=label)
            axes.fill_between(drawn.grid, density, color=colour, alpha=0.25, hatch=hatch, linewidth=0)
        elif not math.isnan(median):
            values = group[group.isfinite()]
            label += ", all equal" if values.max() == values.min() else ", too alike for a curve"
            axes.axvline(median, color=colour, linestyle=style, linewidth=3, label=label)
    for number, (name, value) in enumerate(lines.items()):
        style, shown = _THRESHOLD_STYLES[number % len(_THRESHOLD_STYLES)], f"{value:.4g}"
        label = f"threshold {shown}" if name == shown else f"threshold {name} = {shown}"
        axes.axvline(value, color="black", linestyle=style, linewidth=1.2, label=label)
    low, high = drawn.grid[0], drawn.grid[-1]
    axes.set(xlabel=f"{score} score (higher = more anomalous)", ylabel="density", xlim=(low, high))
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="x", useOffset=False)
    if not axes.collections:  # no curve: the height means nothing
        axes.set_yticks([])
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure


def _sample(values: Tensor) -> NDArray[np.float64]:
    """The (N,) values, or of very many of them evenly spaced order statistics: no randomness, the same shape."""
    sample: NDArray[np.float64] = values.double().numpy()
    return sample if len(sample) <= _KDE_POINTS else np.quantile(sample, (np.arange(_KDE_POINTS) + 0.5) / _KDE_POINTS)


def _limits(samples: list[NDArray[np.float64]], thresholds: list[float], not_negative: bool) -> tuple[float, float]:
    """The ends of the axis: where the curves have come down to nearly zero, and every threshold within."""
    ends = [*thresholds]
    for sample in samples:
        if len(sample):
            first, last = np.quantile(sample, _TAILS)
            reach = 3 * _bandwidth(sample)
            ends += [max(0.0, first - reach) if not_negative else first - reach, last + reach]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    width, magnitude = high - low, max(abs(low), abs(high))
    margin = 0.02 * width  # a line at the very end would look like the frame
    if width <= 1e-3 * magnitude:  # the numbers on the axis would differ in their last digits only
        margin = 0.05 * magnitude or 1.0
    return low - margin, high + margin


def _bandwidth(sample: NDArray[np.float64]) -> float:
    """Silverman's rule, on what a few extreme scores cannot widen; 0 if nearly all scores are equal."""
    if len(sample) < 2:
        return 0.0
    first, lower, upper, last = np.quantile(sample, [_TAILS[0], 0.25, 0.75, _TAILS[1]])
    scales = [float(sample.clip(first, last).std()), float(upper - lower) / 1.34]
    factor: float = 0.9 * len(sample) ** -0.2
    return factor * min((scale for scale in scales if scale > 0), default=0.0)


def _density(sample: NDArray[np.float64], grid: NDArray[np.float64], not_negative: bool) -> NDArray[np.float64]:
    """The kernel density estimate on the grid; below zero there is nothing where scores cannot be negative."""
    estimate = gaussian_kde(sample, bw_method=_bandwidth(sample) / float(sample.std(ddof=1)))
    density: NDArray[np.float64] = estimate(grid)
    if not_negative:  # what the kernels put below zero is mirrored, so that the area stays 1
        density = np.where(grid < 0, 0.0, density + estimate(-grid))
    return density
