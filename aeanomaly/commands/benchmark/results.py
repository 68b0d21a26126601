"""The values of finished cells: as a table to keep, and by line and class."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aeanomaly.commands.benchmark.cell import cell_folder, complaint, finished_run, on_subset
from aeanomaly.commands.benchmark.grid import Cell, Grid
from aeanomaly.errors import UserError
from aeanomaly.evaluation.metric_name import RANKING, MetricName
from aeanomaly.runs.formula import harmless, original
from aeanomaly.runs.reading import Run
from aeanomaly.runs.statistics import Spread, summarize

NORMALS = "test_normal"  # beside the measures in `Row.values`: the number of normal test images
_ABOUT = ("score", "test_on", "subset")  # columns of results.csv between what identifies the cell and the values


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
    """A row per score and finished cell without `complaint`, in the order of the grid.

    A cell whose run is gone has the rows that results.csv keeps of it.
    """
    kept, rows = kept_rows(grid, out), []
    for cell in grid.cells:
        run = finished_run(out, cell)
        found = kept.get(cell.name, []) if run is None else _rows_of(cell, run)
        rows += [row for row in found if not complaint(row.run, allow_subset)]
    return rows


def _rows_of(cell: Cell, run: Run) -> list[Row]:
    values: dict[str, dict[str, float]] = {}
    for tag, value in run.values.items():
        name = MetricName.parse(tag)
        if name is not None and name.stage == "test" and name.score:
            values.setdefault(name.score, {})[name.column] = value
    about = {NORMALS: float(run.values[NORMALS])} if NORMALS in run.values else {}
    return [Row(cell, score, run, known | about) for score, known in values.items()]


def kept_rows(grid: Grid, out: Path) -> dict[str, list[Row]]:
    """What an earlier results.csv holds of the grid's cells, by the name of the cell. Their runs have no files.

    Raises:
        UserError: if the file was changed to what cannot be read.
    """
    kept: dict[str, list[Row]] = {}
    for cell, line in _lines(grid, out):
        if cell is not None:
            source = "subset" if line["subset"] else "whole"
            run = Run(cell_folder(out, cell), {"test_on": line["test_on"], "data_source": source}, None)
            measures = list(line)[list(line).index(_ABOUT[-1]) + 1 :]
            try:
                values = {name: float(line[name]) for name in measures if line[name]}
            except ValueError as error:
                raise UserError(
                    f"{out / 'results.csv'}: {error}; delete all lines of {cell.name}, and it runs again"
                ) from None
            kept.setdefault(cell.name, []).append(Row(cell, line["score"], run, values))
    return kept


def _lines(grid: Grid, out: Path) -> Iterator[tuple[Cell | None, dict[str, str]]]:
    """The lines of results.csv, as they were before `_safe`, each with its cell; None for one not of the grid."""
    file = out / "results.csv"
    if not file.is_file():
        return
    cells = {tuple(map(_text, cell.columns().values())): cell for cell in grid.cells}
    keys = list(grid.cells[0].columns())
    with file.open(newline="") as stream:
        reader = csv.DictReader(stream, restval="")
        reader.fieldnames = [original(name) for name in reader.fieldnames or []]
        expected = [*keys, *_ABOUT]
        if (found := list(reader.fieldnames)[: len(expected)]) != expected:
            raise UserError(
                f"{file} begins with the columns {', '.join(found)}, not {', '.join(expected)}: it is of another grid "
                "or an older version; give another --out"
            )
        for written in reader:
            line = {name: original(text) for name, text in written.items() if name is not None}
            yield cells.get(tuple(line[key] for key in keys)), line


def _text(value: object) -> str:
    """A value as it stands in a CSV file."""
    return "" if value is None else str(value)


def _safe(value: object) -> object:
    """What is written for a value or a name: a text that a spreadsheet would take for a formula after an apostrophe.

    Numbers stay as they are, also where they come as text, from an earlier file.
    """
    if not isinstance(value, str):
        return value
    try:
        float(value)
    except ValueError:
        return harmless(value)
    return value


def named_scores(grid: Grid, rows: Sequence[Row]) -> list[Row]:
    """The rows that tables and figures show: of the scores that the grid names, of all if it names none."""
    return [row for row in rows if grid.scores is None or row.score in grid.scores]


def results_csv(grid: Grid, rows: Sequence[Row], out: Path) -> str:
    """results.csv: what identifies the cell, the score, its values. No timings: equal runs give equal files.

    A text that a spreadsheet would take for a formula stands after an apostrophe, which is not read back.
    Lines of an earlier file stay if no row is of their cell: those of other seeds, or of a subset that is refused now.
    """
    lines: list[dict[str, Any]] = []
    for row in rows:
        about = (row.score, row.test_on, "yes" if on_subset(row.run) else "")
        lines.append({**row.cell.columns(), **dict(zip(_ABOUT, about, strict=True)), **row.values})
    written = {row.cell.name for row in rows}
    lines += [line for cell, line in _lines(grid, out) if cell is None or cell.name not in written]
    keys = [*grid.cells[0].columns(), *_ABOUT]
    measures = sorted({name for line in lines for name in line} - {*keys}, key=lambda name: (name not in RANKING, name))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_safe(name) for name in (*keys, *measures)])
    writer.writerows([_safe(line.get(name, "")) for name in (*keys, *measures)] for line in lines)
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
