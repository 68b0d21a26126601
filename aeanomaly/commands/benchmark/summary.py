"""summary.md: a benchmark to read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from aeanomaly.commands.benchmark.cell import on_subset
from aeanomaly.commands.benchmark.false_alarms import false_alarms
from aeanomaly.commands.benchmark.grid import Grid
from aeanomaly.commands.benchmark.results import Row, named_scores, table_of
from aeanomaly.commands.benchmark.significance import Comparison, compare_to_best, interval
from aeanomaly.commands.tables import markdown_table
from aeanomaly.evaluation.metric_name import RANKING, MetricName
from aeanomaly.runs.statistics import Spread

_LEGEND = """
- **mean**: over classes of the mean over seeds, ± the standard deviation over seeds of the mean over classes. All
  tables have the same rows, the highest mean AUROC first.
- **95 % interval**: of the mean over classes, by Student's t over the classes' means. It says how much classes differ:
  two intervals may overlap though one row is better in every class.
- **p**: of the difference to the row with the best mean, by Wilcoxon's signed-rank test paired over classes, two-sided,
  with Holm's correction for the number of rows.
- **Bold**: the best mean, and every one that does not differ from it significantly (p at least 0.05)."""


def summary_md(grid: Grid, rows: Sequence[Row], missing: Mapping[str, str]) -> str:
    """The means of all measures, AUROC first, with what can be told apart; then their classes; then missing cells.

    Args:
        missing: names of unfinished cells and what went wrong; empty if they did not run yet.
    """
    seeds = sorted({cell.seed for cell in grid.cells})
    done = len({row.cell.name for row in rows})
    protocol = f"Protocol: {grid.protocol}. " if grid.protocol else ""
    cells = f"{done} of {len(grid.cells)} cells, seeds {', '.join(map(str, seeds))}"
    text = [f"# {grid.name}", "", f"{protocol}{cells}; mean ± standard deviation."]
    if any(on_subset(row.run) for row in rows):
        text += ["", "**Trained on a subset of the data: not comparable with published values.**"]
    if any(row.test_on != "test" for row in rows):
        text += ["", "**(development): tested on training images set aside to choose by, not on the test split.**"]
    shown = named_scores(grid, rows)
    unseen = {row.cell.method for row in rows} - {row.cell.method for row in shown}
    if unseen:
        text += ["", f"Without any of the scores {', '.join(grid.scores or [])}: {', '.join(sorted(unseen))}."]
    absent = [score for score in grid.scores or [] if score not in {row.score for row in rows}]
    if rows and absent:
        text += ["", f"No finished cell has a score {', '.join(absent)}."]
    measured = {column.rpartition("@")[2] for row in rows for column in row.values if "@" in column}
    unkept = [threshold for threshold in grid.promises or {} if threshold not in measured]
    if rows and unkept:
        text += ["", f"No finished cell has a threshold {', '.join(unkept)}, as `promises` says."]
    # Values of other images cannot be compared: each kind has tables of its own.
    kinds = [[row for row in shown if row.test_on == kind] for kind in dict.fromkeys(row.test_on for row in shown)]
    several = [kind for kind in kinds if len({row.cell.class_ for row in kind}) > 1]
    if several:
        text += _LEGEND.splitlines()
        text += [line for kind in several for measure in RANKING for line in _means(kind, measure)]
    text += [line for kind in kinds for measure in RANKING for line in _by_class(kind, measure)]
    text += false_alarms(shown, grid.promises or {})
    if missing:
        text += ["", "## Not finished", "", *(f"- {name}: {reason}" for name, reason in missing.items() if reason)]
        waiting = sum(not reason for reason in missing.values())
        text += [f"- {waiting} that did not run yet"] if waiting else []
    return "\n".join(text) + "\n"


def _sorted_table(rows: Sequence[Row], measure: str) -> dict[str, dict[str, Spread]]:
    """`table_of` with the highest mean AUROC first, whatever the measure; lines without any come last."""
    areas = {line: list(spreads.values())[-1].mean for line, spreads in table_of(rows, RANKING[0]).items()}
    table = table_of(rows, measure)
    return {line: table[line] for line in sorted(table, key=lambda line: (math.isnan(areas[line]), -areas[line]))}


def _title(rows: Sequence[Row], measure: str, more: str = "") -> list[str]:
    kind = rows[0].test_on
    return ["", f"## {measure.upper()}{more}{f' ({kind})' if kind != 'test' else ''}", ""]


def _shown(spread: Spread) -> str:
    return f"{spread:.4f}" if spread.n else "-"


def _means(rows: Sequence[Row], measure: str) -> list[str]:
    """The means over classes and the comparison of rows."""
    table = _sorted_table(rows, measure)
    values = np.array([[s.mean for class_, s in line.items() if class_ != "mean"] for line in table.values()])
    means = [line["mean"] for line in table.values()]
    found = compare_to_best(values, bool(MetricName("test", measure).higher_is_better))
    texts = [f"**{_shown(m)}**" if bold else _shown(m) for m, bold in zip(means, found.among_the_best, strict=True)]
    limits = [interval(row) for row in values]
    columns: list[tuple[str, bool, Sequence[str]]] = [
        ("score", False, list(table)),
        ("mean", True, texts),
        ("95 % interval", True, ["{:.4f} to {:.4f}".format(*pair) if pair else "-" for pair in limits]),
        ("p", True, ["-" if p is None else f"{p:.4f}" for p in found.p]),
    ]
    whole = values.shape[1]
    incomplete = any(mean.n < whole for mean in means)
    if incomplete:
        columns.append(("classes", True, [f"{mean.n} of {whole}" for mean in means]))
        columns.append(("compared over", True, [str(n) for n in found.shared]))
    return [*_title(rows, measure), *markdown_table(columns), *_remarks(found, incomplete)]


def _remarks(found: Comparison, incomplete: bool) -> list[str]:
    """What a reader must know of a comparison that is not what the legend says."""
    text = []
    if found.smallest_p is not None and not found.decides:
        most = max(n for row, n in enumerate(found.shared) if row != found.best)
        text += [
            "",
            f"Nothing is bold: with {len(found.p)} rows over {most} classes p is at least "
            f"{found.smallest_p:.2g}, so no difference can be significant. Fewer rows (`scores`) or more classes help.",
        ]
    if incomplete:
        text += [
            "",
            "Some rows lack classes. The best is one of those with the most; p is over the classes that it shares, "
            "and left out where these are fewer than six.",
        ]
    return text


def _by_class(rows: Sequence[Row], measure: str) -> list[str]:
    """Classes across."""
    table = _sorted_table(rows, measure)
    columns: list[tuple[str, bool, Sequence[str]]] = [("score", False, list(table))]
    for class_ in next(iter(table.values())):
        if class_ != "mean":
            columns.append((class_, True, [_shown(line[class_]) for line in table.values()]))
    return [*_title(rows, measure, " by class" if len(columns) > 2 else ""), *markdown_table(columns)]
