"""The picture of the study: densities of normal and anomalous scores, with the thresholds."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde
from torch import Tensor

NORMAL_COLOUR, ANOMALY_COLOUR = "#1f77b4", "#d62728"
_KDE_POINTS = 2000  # a smoother estimate needs no more, and its cost grows with the number of points


def density_figure(score: str, normal: Tensor, anomalous: Tensor, thresholds: dict[str, float]) -> Figure:
    """Both densities of one score in one picture, with a dashed line per threshold.

    Args:
        score: its name, for the axis.
        normal: (N normal,) scores; may be empty, as may ``anomalous``.
        anomalous: (N anomalous,) scores.
        thresholds: value by name; NaN values are left out.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    groups = [
        (f"normal ({len(normal):,})", normal, NORMAL_COLOUR),
        (f"anomalous ({len(anomalous):,})", anomalous, ANOMALY_COLOUR),
    ]
    finite = {label: values[values.isfinite()].numpy().astype(np.float64) for label, values, _ in groups}
    drawn = np.concatenate(list(finite.values()))
    lines = {name: value for name, value in thresholds.items() if not math.isnan(value)}
    # A few extreme scores would squeeze everything else into a corner.
    low = min([float(drawn.min()) if len(drawn) else 0.0, *lines.values()])
    tails = [float(np.quantile(values, 0.995)) for values in finite.values() if len(values)]
    high = max([*tails, *lines.values()], default=low)
    high = high if high > low else low + max(1.0, abs(low)) * 1e-6  # all equal: an axis needs some width
    grid = np.linspace(low, high, 400)
    for label, _, colour in groups:
        values = finite[label]
        if len(values) > _KDE_POINTS:  # evenly spaced order statistics: no randomness, the same shape
            values = np.quantile(values, (np.arange(_KDE_POINTS) + 0.5) / _KDE_POINTS)
        if len(values) > 1 and np.ptp(values) > 0:
            density = gaussian_kde(values)(grid)
            axes.plot(grid, density, color=colour, label=label)
            axes.fill_between(grid, density, color=colour, alpha=0.25)
        elif len(values):
            axes.axvline(values[0], color=colour, label=f"{label}, all equal")
    for (name, value), style in zip(lines.items(), ("--", ":", "-.", (0, (1, 3))) * len(lines), strict=False):
        axes.axvline(value, color="black", linestyle=style, linewidth=1.2, label=f"threshold {name} = {value:.4g}")
    axes.set(xlabel=f"{score} score (higher = more anomalous)", ylabel="density", xlim=(low, high))
    axes.set_ylim(bottom=0)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure
