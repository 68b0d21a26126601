"""ROC curves, averaged over runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

_RATES = np.linspace(0, 1, 201)  # false positive rates at which curves are averaged

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]


def mean_roc(curves: Mapping[str, Sequence[Curve]]) -> Figure:
    """One line for each name, averaged over its curves at equal false positive rates, with their spread shaded.

    Args:
        curves: by name, pairs of ascending false positive rates and their true positive rates, one for each run.
    """
    figure = Figure(figsize=(5.5, 5), layout="constrained")
    axes = figure.subplots()
    for name, runs in curves.items():
        rates = np.array([np.interp(_RATES, false, true) for false, true in runs])
        (line,) = axes.plot(_RATES, rates.mean(0), label=f"{name} ({len(runs)} runs)")
        if len(runs) > 1:
            low, high = np.quantile(rates, [0.1, 0.9], axis=0)
            axes.fill_between(_RATES, low, high, alpha=0.15, color=line.get_color())
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.005))
    axes.set_title("mean ROC curve; shaded: 10 % to 90 % of the runs", fontsize=10)
    axes.legend(loc="lower right", frameon=False)
    return figure
