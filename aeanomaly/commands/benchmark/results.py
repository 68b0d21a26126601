"""The figures of finished cells, as a table to keep and a table to read."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aeanomaly.commands.benchmark.cell import complaint, finished_run
from aeanomaly.commands.benchmark.grid import Cell, Grid
from aeanomaly.runs.reading import read_run

MEASURES = ("auroc", "aupr", "fpr95")


@dataclass(frozen=True)
class Row:
    """One score of one finished cell.

    Attributes:
        cell: the cell.
        score: name of the score.
        run: the cell's run directory.
        figures: test figures by short name, such as ``auroc`` and ``normal_accuracy@fpr5``.
        subset: whether the run used a part of its data set only.
    """

    cell: Cell
    score: str
    run: Path
    figures: dict[str, float]
    subset: bool

    @property
    def line(self) -> str:
        """Name of the row's line in the summary: method, further axes, score."""
        axes = [f"{key.rpartition('.')[2]}={value}" for key, value in self.cell.axes.items()]
        return " ".join([self.cell.method, *axes, self.score])


def collect(grid: Grid, out: Path, allow_subset: bool = False) -> list[Row]:
    """A row per score and finished cell without `complaint`, in the order of the grid."""
    rows = []
    for cell in grid.cells:
        run = finished_run(out, cell)
        if run is None or complaint(run, allow_subset):
            continue
        record = read_run(run)
        figures: dict[str, dict[str, float]] = {}
        for tag, value in record.figures.items():
            if tag.startswith("test/"):
                measure, _, rest = tag.removeprefix("test/").partition("/")
                score, at, threshold = rest.partition("@")
                figures.setdefault(score, {})[f"{measure}{at}{threshold}"] = value
        subset = record.record.get("data_source") == "subset"
        rows += [Row(cell, score, run, values, subset) for score, values in figures.items()]
    return rows


def results_csv(rows: Sequence[Row]) -> str:
    """results.csv: what identifies the cell, the score, its figures. No timings: equal runs give equal files."""
    measures = sorted({name for row in rows for name in row.figures}, key=lambda name: (name not in MEASURES, name))
    keys = list(dict.fromkeys(key for row in rows for key in row.cell.columns()))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*keys, "score", *measures])
    for row in rows:
        known = row.cell.columns()
        values = [_plain(known.get(key)) for key in keys]
        writer.writerow([*values, row.score, *(_plain(row.figures.get(name)) for name in measures)])
    return text.getvalue()


def _plain(value: Any) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation of one figure over seeds."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """NaN if there is no value."""
        return statistics.fmean(self.values) if self.values else math.nan

    def __str__(self) -> str:
        if not self.values:
            return "-"
        deviation = f" ± {statistics.stdev(self.values):.4f}" if len(self.values) > 1 else ""
        return f"{self.mean:.4f}{deviation}"


def table_of(rows: Sequence[Row], measure: str) -> dict[str, dict[Any, Spread]]:
    """Line of the summary, then class (None without a protocol), to the spread over seeds.

    The additional class ``"mean"`` is the mean over classes, taken seed by seed, so that its spread is that of the
    figure a paper reports; seeds for which a class is missing are left out of it.
    """
    lines = dict.fromkeys(row.line for row in rows)
    classes = list(dict.fromkeys(row.cell.class_ for row in rows))
    table: dict[str, dict[Any, Spread]] = {}
    for line in lines:
        found = {
            (row.cell.class_, row.cell.seed): row.figures[measure]
            for row in rows
            if row.line == line and measure in row.figures
        }
        seeds = list(dict.fromkeys(seed for _, seed in found))
        table[line] = {
            class_: Spread(tuple(found[class_, seed] for seed in seeds if (class_, seed) in found))
            for class_ in classes
        }
        if len(classes) > 1:
            whole = [seed for seed in seeds if all((class_, seed) in found for class_ in classes)]
            means = (statistics.fmean(found[class_, seed] for class_ in classes) for seed in whole)
            table[line]["mean"] = Spread(tuple(means))
    return table


def summary_md(grid: Grid, rows: Sequence[Row], failed: Sequence[tuple[str, str]]) -> str:
    """summary.md: a table per measure, classes across, the best of each column in bold; then what is missing.

    Args:
        grid: the benchmark.
        rows: of its finished cells.
        failed: name and reason of each cell that is not finished.
    """
    seeds = sorted({cell.seed for cell in grid.cells})
    done = len({row.cell.name for row in rows})
    text = [f"# {grid.name}", ""]
    protocol = f"Protocol: {grid.protocol}. " if grid.protocol else ""
    text += [
        f"{protocol}{done} of {len(grid.cells)} cells, seeds {', '.join(map(str, seeds))}; mean ± standard deviation."
    ]
    if any(row.subset for row in rows):
        text += ["", "**Trained on a subset of the data: not comparable with published figures.**"]
    for measure in MEASURES:
        table = table_of(rows, measure)
        columns = list(dict.fromkeys(column for line in table.values() for column in line))
        heading = ["all" if column is None else str(column) for column in columns]
        text += [
            "",
            f"## {measure.upper()}",
            "",
            f"| score | {' | '.join(heading)} |",
            f"|---|{'---:|' * len(columns)}",
        ]
        best = {column: _best([line[column] for line in table.values()], measure) for column in columns}
        for name, line in table.items():
            shown = [f"**{line[c]}**" if line[c].mean == best[c] and len(table) > 1 else str(line[c]) for c in columns]
            text.append(f"| {name} | {' | '.join(shown)} |")
    if failed:
        text += ["", "## Not finished", "", *(f"- {name}: {reason}" for name, reason in failed)]
    return "\n".join(text) + "\n"


def _best(spreads: Sequence[Spread], measure: str) -> float:
    means = [spread.mean for spread in spreads if spread.values]
    return math.nan if not means else min(means) if measure == "fpr95" else max(means)
