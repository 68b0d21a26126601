"""The pictures of a benchmark, and the TensorBoard run that holds them."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import roc_curve

from aeanomaly.commands.benchmark.grid import Grid
from aeanomaly.commands.benchmark.results import Row, table_of
from aeanomaly.evaluation.metric_name import RANKING
from aeanomaly.plots.heat_map import heat_map
from aeanomaly.plots.render import drawn
from aeanomaly.plots.roc import Curve, mean_roc


def _auroc_map(grid: Grid, rows: Sequence[Row]) -> Figure:
    """Line of the summary by class, the mean AUROC over seeds written into each square."""
    table = table_of(rows, "auroc")
    return heat_map(
        np.array([[spread.mean for spread in line.values()] for line in table.values()]),
        list(table),
        list(table[rows[0].line]),
        title=grid.name,
        row_label="method and score",
        column_label="normal class" if grid.protocol == "one-class" else "anomalous class",
        value_label="AUROC, mean over seeds",
    )


def _curve(row: Row) -> Curve:
    """False and true positive rates, from the run's test_scores.csv."""
    with _scores_file(row).open() as stream:
        pairs = [(int(line["is_anomaly"]), float(line[row.score])) for line in csv.DictReader(stream)]
    false, true, _ = roc_curve(*zip(*pairs, strict=True))
    return false, true


def _scores_file(row: Row) -> Path:
    return row.run.path / "test_scores.csv"


def write_figures(grid: Grid, rows: Sequence[Row], out: Path) -> None:
    """Write heatmap.png and roc.png to ``out``, and both with the means to ``out/summary`` for TensorBoard.

    Without the scores of every cell, whose runs may be gone, there is no roc.png.
    """
    from torch.utils.tensorboard.writer import SummaryWriter

    figures = {"heatmap": _auroc_map(grid, rows)}
    (out / "roc.png").unlink(missing_ok=True)
    if all(_scores_file(row).is_file() for row in rows):
        lines = dict.fromkeys(row.line for row in rows)
        figures["roc"] = mean_roc({line: [_curve(row) for row in rows if row.line == line] for line in lines})
    shutil.rmtree(out / "summary", ignore_errors=True)  # one event file, that of the latest state
    with SummaryWriter(str(out / "summary")) as writer:
        for kind, figure in figures.items():
            pixels = drawn(figure)
            writer.add_image(f"benchmark/{kind}", pixels, dataformats="HWC")
            Image.fromarray(pixels).save(out / f"{kind}.png")
        for measure in RANKING:
            for line, columns in table_of(rows, measure).items():
                for step, (column, spread) in enumerate(columns.items()):
                    if spread.n:  # the class is the step, so that a line is a chart over classes
                        of_mean = column == "mean"
                        tag = f"benchmark/{measure}{'_mean' if of_mean else ''}/{line}"
                        writer.add_scalar(tag, spread.mean, 0 if of_mean else step)
