"""The values of finished cells, as a table to keep and a table to read."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aeanomaly.commands.benchmark.cell import complaint, finished_run, on_subset
from aeanomaly.commands.benchmark.grid import Cell, Grid
from aeanomaly.commands.tables import markdown_table
from aeanomaly.evaluation.metric_name import RANKING, MetricName
from aeanomaly.runs.reading import Run
from aeanomaly.runs.statistics import Spread, summarize, which_is_best


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

    The additional class ``"mean"`` is the mean over classes, taken seed by seed, so that its spread is that of the
    value a paper reports; seeds for which a class is missing are left out of it.
    """
    classes = list(dict.fromkeys(row.cell.class_ for row in rows))
    table: dict[str, dict[str, Spread]] = {}
    for line in dict.fromkeys(row.line for row in rows):
        found: dict[int | None, dict[int, float]] = {class_: {} for class_ in classes}  # by class and seed
        for row in rows:
            if row.line == line and measure in row.values:
                found[row.cell.class_][row.cell.seed] = row.values[measure]
        table[line] = {"all" if c is None else str(c): summarize(list(seeds.values())) for c, seeds in found.items()}
        if len(classes) > 1:
            whole = set.intersection(*(set(seeds) for seeds in found.values()))
            table[line]["mean"] = summarize([summarize([found[c][seed] for c in classes]).mean for seed in whole])
    return table


def summary_md(grid: Grid, rows: Sequence[Row], missing: Mapping[str, str]) -> str:
    """summary.md: a table per measure, classes across, the best of each column in bold; then the missing cells."""
    seeds = sorted({cell.seed for cell in grid.cells})
    done = len({row.cell.name for row in rows})
    protocol = f"Protocol: {grid.protocol}. " if grid.protocol else ""
    cells = f"{done} of {len(grid.cells)} cells, seeds {', '.join(map(str, seeds))}"
    text = [f"# {grid.name}", "", f"{protocol}{cells}; mean ± standard deviation."]
    if any(on_subset(row.run) for row in rows):
        text += ["", "**Trained on a subset of the data: not comparable with published values.**"]
    if any(row.test_on != "test" for row in rows):
        text += ["", "**(development): tested on training images set aside to choose by, not on the test split.**"]
    for measure in RANKING:
        table = table_of(rows, measure)
        up = MetricName("test", measure).higher_is_better
        columns: list[tuple[str, bool, list[str]]] = [("score", False, list(table))]
        for class_ in next(iter(table.values()), ()):
            spreads = [line[class_] for line in table.values()]
            shown = [f"{spread:.4f}" if spread.n else "-" for spread in spreads]
            best = which_is_best(spreads, up)
            columns.append((class_, True, [f"**{c}**" if bold else c for c, bold in zip(shown, best, strict=True)]))
        text += ["", f"## {measure.upper()}", "", *markdown_table(columns)]
    if missing:
        text += ["", "## Not finished", "", *(f"- {name}: {reason}" for name, reason in missing.items())]
    return "\n".join(text) + "\n"
