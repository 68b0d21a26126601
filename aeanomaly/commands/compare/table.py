"""The rows: a run each, or the mean over the runs that belong together; and their order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aeanomaly.commands.compare.columns import (
    choose_metrics,
    comparable,
    differing,
    higher_is_better,
    match_key,
    match_name,
)
from aeanomaly.errors import UserError
from aeanomaly.runs.hyperparameters import short_key
from aeanomaly.runs.reading import Run, Value, natural_order, run_names
from aeanomaly.runs.statistics import Spread, summarize


@dataclass(frozen=True)
class Row:
    """One run, or the runs that grouping folds into one.

    Attributes:
        name: the run's short name; of several, the first one's, with ``+2`` for two more.
        runs: the runs behind the row, at least one.
        values: by full name; a metric that no run of the row has is missing.
        hyperparameters: those that all its runs agree on; None if unknown.
    """

    name: str
    runs: list[Run]
    values: dict[str, Spread]
    hyperparameters: dict[str, Value] | None


@dataclass
class Comparison:
    """Runs side by side, the same for the terminal and for files.

    Attributes:
        runs: all of them.
        names: their short names, by path.
        metrics: full names of the metric columns.
        keys: full names of the hyperparameter columns: those that differ between the rows.
        labels: headings, by full name, of the metrics shown and of every hyperparameter.
        rows: what can be compared.
        aside: the runs that have none of the metrics: reported, not compared.
        grouped: whether rows are means over runs.
        notes: what one must know to read the rows rightly, a line each.
    """

    runs: list[Run]
    names: dict[Path, str]
    metrics: list[str]
    keys: list[str]
    labels: dict[str, str]
    rows: list[Row]
    aside: list[Run]
    grouped: bool
    notes: list[str] = field(default_factory=list)


def compare_runs(
    runs: Sequence[Run], metrics: Sequence[str] | None = None, group_by: Sequence[str] | None = None
) -> Comparison:
    """Put runs side by side.

    The rows keep the order of ``runs``. ``metrics`` are names or patterns, see `choose_metrics`. ``group_by`` is None
    for a row per run; empty to fold runs that differ only in their seed; otherwise the hyperparameters, by full name or
    unambiguous ending, of which each combination gets a row.

    Raises:
        UserError: if a metric or hyperparameter is unknown or ambiguous.
    """
    chosen = choose_metrics(runs, metrics)
    # What a run cost puts no unfinished run among the finished ones, unless the cost is all that is asked for.
    telling = [name for name in chosen if "/" in name] or chosen
    compared = [run for run in runs if any(name in run.values for name in telling)]
    aside = [run for run in runs if not any(name in run.values for name in telling)]
    names = run_names([run.path for run in runs])
    known = list(dict.fromkeys(key for run in compared for key in run.hyperparameters or {}))
    by = [match_key(name, known) for name in group_by or () if known]

    groups = [[run] for run in compared] if group_by is None else _group(compared, by)
    rows = [_row(group, chosen, names) for group in groups]
    mixed = list(dict.fromkeys(key for group in groups for key in differing(run.hyperparameters for run in group)))
    others = [key for key in differing(row.hyperparameters for row in rows) if key not in mixed]
    keys = list(dict.fromkeys([*by, *others]))
    notes = [f"mean ± sample standard deviation over n runs that differ in: {', '.join(mixed)}"] if mixed else []
    chosen_on = [names[run.path] for run in compared if run.record.get("test_on") == "development"]
    if chosen_on:
        which = ", ".join(chosen_on) if len(chosen_on) < len(compared) else "all runs"
        notes.append(f"test values of training images set aside to choose by, not of the test split: {which}")
    if group_by is not None:
        notes += _repeats(groups, names)
    labels = {name: name.removeprefix("test/") for name in chosen} | {key: short_key(key, known) for key in known}
    return Comparison(list(runs), names, chosen, keys, labels, rows, aside, group_by is not None, notes)


def _group(runs: Sequence[Run], by: Sequence[str]) -> list[list[Run]]:
    groups: dict[object, list[Run]] = {}
    for run in runs:
        if run.hyperparameters is None:
            group: object = run.path  # nobody knows what it may be averaged with
        elif by:
            group = tuple(comparable(run.hyperparameters.get(key)) for key in by)
        else:
            group = _settings(run.hyperparameters, without="seed")
        groups.setdefault(group, []).append(run)
    return list(groups.values())


def _settings(flat: dict[str, Value], without: str = "") -> frozenset[tuple[str, Value | None]]:
    return frozenset((key, comparable(value)) for key, value in flat.items() if key != without)


def _repeats(groups: list[list[Run]], names: dict[Path, str]) -> list[str]:
    """A line for each run that merely repeats another of its group, which makes the deviation look too small."""
    notes = []
    for group in groups:
        first: dict[object, Run] = {}
        for run in group:
            flat = run.hyperparameters or {}
            original = first.setdefault(_settings(flat), run)
            if original is not run and isinstance(flat["seed"], int):  # without a seed, no two runs are the same
                notes.append(f"{names[run.path]} has the settings and seed of {names[original.path]}; both count")
    return notes


def _row(runs: list[Run], metrics: Sequence[str], names: dict[Path, str]) -> Row:
    found = {metric: [run.values[metric] for run in runs if metric in run.values] for metric in metrics}
    spreads = {metric: summarize(values) for metric, values in found.items() if values}
    flat = runs[0].hyperparameters
    if flat is not None and len(runs) > 1:
        mixed = differing(run.hyperparameters for run in runs)
        flat = {key: value for key, value in flat.items() if key not in mixed}
    return Row(names[runs[0].path] + (f" +{len(runs) - 1}" if len(runs) > 1 else ""), runs, spreads, flat)


def sort_rows(comparison: Comparison, column: str, reverse: bool = False) -> None:
    """Sort the rows in place: metrics best first, everything else ascending, rows without a value (or NaN) last.

    ``column`` is ``run``, ``n`` (when grouped), or a metric or hyperparameter by its heading, full name or unambiguous
    ending. A hyperparameter that is the same in all rows is accepted and changes nothing. ``reverse`` leaves the rows
    without a value last.

    Raises:
        UserError: if there is no such column, or several.
    """
    labels = comparison.labels
    shown = ["run", *(["n"] if comparison.grouped else []), *comparison.metrics, *comparison.keys]
    hidden = [key for key in labels if key not in shown]
    full = match_name("column", column, shown, labels) or match_name("column", column, hidden, labels)
    if full is None:
        raise UserError(
            f"there is no column {column!r}; columns: {', '.join(labels.get(name, name) for name in shown)}"
        )
    descending = bool(full in comparison.metrics and higher_is_better(full)) != reverse
    values = [(_sort_value(row, full), row) for row in comparison.rows]
    filled = sorted((pair for pair in values if pair[0] is not None), key=lambda pair: pair[0], reverse=descending)
    comparison.rows = [row for _, row in filled] + [row for value, row in values if value is None]


def _sort_value(row: Row, full: str) -> Any:
    """A key that orders numbers before words; None if the row has no value, or NaN."""
    if full == "run":
        return natural_order(row.name)
    value = len(row.runs) if full == "n" else (row.hyperparameters or {}).get(full)
    if full in row.values:
        value = row.values[full].mean
    if isinstance(value, str):
        return (1, 0, natural_order(value))
    return None if value is None or not math.isfinite(value) else (0, value, [])
