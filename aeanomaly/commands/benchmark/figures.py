"""The pictures of a benchmark, and the TensorBoard run that holds them."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_curve

from aeanomaly.commands.benchmark.results import MEASURES, Row, Spread, table_of
from aeanomaly.plots.render import drawn

_GRID = np.linspace(0, 1, 201)  # false positive rates at which curves are averaged


def heat_map(table: dict[str, dict[Any, Spread]], title: str) -> Figure:
    """Line of the summary by class, mean over seeds written into each square."""
    columns = list(dict.fromkeys(column for line in table.values() for column in line))
    means = np.array([[line[column].mean for column in columns] for line in table.values()])
    figure = Figure(figsize=(1.6 + 0.75 * len(columns), 1.4 + 0.5 * len(table)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(means, cmap="viridis", aspect="auto")
    axes.set_xticks(range(len(columns)), ["all" if column is None else str(column) for column in columns])
    axes.set_yticks(range(len(table)), list(table))
    axes.set_title(title)
    middle = (np.nanmin(means) + np.nanmax(means)) / 2
    for (row, column), value in np.ndenumerate(means):
        colour = "white" if value < middle else "black"
        axes.text(column, row, f"{value:.3f}", ha="center", va="center", color=colour, fontsize=8)
    return figure


def roc_figure(rows: Sequence[Row]) -> Figure:
    """One ROC curve per line of the summary, averaged over classes and seeds at equal false positive rates."""
    figure = Figure(figsize=(5.5, 5), layout="constrained")
    axes = figure.subplots()
    for line in dict.fromkeys(row.line for row in rows):
        curves = np.array([_curve(row) for row in rows if row.line == line])
        (drawn,) = axes.plot(_GRID, curves.mean(0), label=f"{line} ({len(curves)} runs)")
        if len(curves) > 1:
            low, high = np.quantile(curves, [0.1, 0.9], axis=0)
            axes.fill_between(_GRID, low, high, alpha=0.15, color=drawn.get_color())
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.005))
    axes.set_title("mean ROC curve; shaded: 10 % to 90 % of the runs", fontsize=10)
    axes.legend(loc="lower right", frameon=False)
    return figure


def _curve(row: Row) -> NDArray[np.float64]:
    """True positive rate at each false positive rate of `_GRID`, from the run's test_scores.csv."""
    with (row.run / "test_scores.csv").open() as stream:
        reader = csv.DictReader(stream)
        pairs = [(int(line["is_anomaly"]), float(line[row.score])) for line in reader]
    false, true, _ = roc_curve(*zip(*pairs, strict=True))
    curve: NDArray[np.float64] = np.interp(_GRID, false, true)
    return curve


def write_figures(rows: Sequence[Row], out: Path, name: str) -> list[Path]:
    """Write heatmap.png and roc.png to ``out``, and both with the means to ``out/summary`` for TensorBoard."""
    from torch.utils.tensorboard.writer import SummaryWriter

    figures = {"heatmap": heat_map(table_of(rows, "auroc"), f"{name}: AUROC"), "roc": roc_figure(rows)}
    shutil.rmtree(out / "summary", ignore_errors=True)  # one event file, that of the latest state
    with SummaryWriter(str(out / "summary")) as writer:
        for kind, figure in figures.items():
            pixels = drawn(figure)
            writer.add_image(f"benchmark/{kind}", pixels, dataformats="HWC")
            Image.fromarray(pixels).save(out / f"{kind}.png")
        for measure in MEASURES:
            for line, columns in table_of(rows, measure).items():
                for step, (column, spread) in enumerate(columns.items()):
                    if spread.values:  # the class is the step, so that a line is a chart over classes
                        tag = f"benchmark/{measure}_mean/{line}" if column == "mean" else f"benchmark/{measure}/{line}"
                        writer.add_scalar(tag, spread.mean, 0 if column in ("mean", None) else step)
    return [out / f"{kind}.png" for kind in figures]
