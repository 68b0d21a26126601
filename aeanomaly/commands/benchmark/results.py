"""The values of finished cells: as a table to keep, and by line and class."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aeanomaly.commands.benchmark.cell import complaint, finished_run
from aeanomaly.commands.benchmark.grid import Cell, Grid
from aeanomaly.evaluation.metric_name import RANKING, MetricName
from aeanomaly.runs.reading import Run
from aeanomaly.runs.statistics import Spread, summarize


@dataclass(frozen=True)
class Row:
    """One score of one finished cell.

    Its values are those of the test, by metric and threshold, such as ``auroc`` and ``normal_accuracy@alarm5``.
    """

    cell: Cell
    score: str
    run: Run
    values: dict[str, float]

    @property
    def test_on(self) -> str:
        """``test``, or ``development`` for values of images that were set aside to choose by."""
        return str(self.run.record.get("test_on", "test"))

    @property
    def line(self) -> str:
        """Name of the row's line in the summary: method, further axes, score, and what it was tested on if not test."""
        axes = [f"{key.rpartition('.')[2]}={value}" for key, value in self.cell.axes.items()]
        images = [f"({self.test_on})"] if self.test_on != "test" else []
        return " ".join([self.cell.method, *axes, self.score, *images])


def collect(grid: Grid, out: Path, allow_subset: bool) -> list[Row]:
    """A row per score and finished cell without `complaint`, in the order of the grid."""
    rows = []
    for cell in grid.cells:
        run = finished_run(out, cell)
        if run is None or complaint(run, allow_subset):
            continue
        values: dict[str, dict[str, float]] = {}
        for tag, value in run.values.items():
            name = MetricName.parse(tag)
            if name is not None and name.stage == "test" and name.score:
                values.setdefault(name.score, {})[name.column] = value
        rows += [Row(cell, score, run, known) for score, known in values.items()]
    return rows


def named_scores(grid: Grid, rows: Sequence[Row]) -> list[Row]:
    """The rows that tables and figures show: of the scores that the grid names, of all if it names none."""
    return [row for row in rows if grid.scores is None or row.score in grid.scores]


def results_csv(rows: Sequence[Row]) -> str:
    """results.csv: what identifies the cell, the score, its values. No timings: equal runs give equal files."""
    measures = sorted({name for row in rows for name in row.values}, key=lambda name: (name not in RANKING, name))
    keys = list(dict.fromkeys(key for row in rows for key in row.cell.columns()))
    text = io.StringIO()
    writer = csv.DictWriter(text, [*keys, "score", "test_on", *measures], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row.cell.columns(), "score": row.score, "test_on": row.test_on, **row.values} for row in rows)
    return text.getvalue()


def table_of(rows: Sequence[Row], measure: str) -> dict[str, dict[str, Spread]]:
    """Line of the summary, then class ("all" without a protocol), to the spread over seeds.

    The additional class ``"mean"`` is the mean over the known classes of their means over seeds. Its deviation is that
    of the value a paper reports, the mean over classes seed by seed; seeds that lack a class are left out of it. Its
    ``n`` is the number of known classes.
    """
    classes = list(dict.fromkeys(row.cell.class_ for row in rows))
    values: dict[str, dict[int | None, dict[int, float]]] = {}  # by line, class and seed
    for row in rows:
        of_class = values.setdefault(row.line, {class_: {} for class_ in classes})[row.cell.class_]
        if measure in row.values:
            of_class[row.cell.seed] = row.values[measure]
    table: dict[str, dict[str, Spread]] = {}
    for line, found in values.items():
        table[line] = {"all" if c is None else str(c): summarize(list(seeds.values())) for c, seeds in found.items()}
        if len(classes) > 1:
            whole = set.intersection(*(set(seeds) for seeds in found.values()))
            by_seed = summarize([summarize([found[c][seed] for c in classes]).mean for seed in whole])
            over_classes = summarize([spread.mean for spread in table[line].values()])
            table[line]["mean"] = replace(over_classes, std=by_seed.std)
    return table
