"""A table of values as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


def heat_map(
    values: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    title: str,
    row_label: str,
    column_label: str,
    value_label: str,
) -> Figure:
    """One coloured square for each value, with the value written into it.

    Args:
        values: (R, C); NaN, where there is no value, leaves the square white.
        value_label: what the values are, beside the colour bar.
    """
    figure = Figure(figsize=(3.2 + 0.75 * len(columns), 1.8 + 0.5 * len(rows)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, cmap="viridis", aspect="auto")
    figure.colorbar(image, ax=axes, label=value_label)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.set(title=title, xlabel=column_label, ylabel=row_label)
    known = values[np.isfinite(values)]
    middle = (known.min() + known.max()) / 2 if known.size else 0.0
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if value < middle else "black"
        text = f"{value:.3f}" if np.isfinite(value) else "-"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    return figure
