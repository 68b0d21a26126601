"""The rows: a run each, or the mean over the runs that belong together; and their order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from aeanomaly.commands.comparison.columns import (
    choose_metrics,
    comparable,
    differing,
    higher_is_better,
    match_one,
    matching,
)
from aeanomaly.errors import UserError
from aeanomaly.runs.finding import natural_order, run_names
from aeanomaly.runs.hyperparameters import short_key
from aeanomaly.runs.reading import Run, Value
from aeanomaly.runs.statistics import Spread, summarize

# One run, or the runs that grouping folds into one, by column. Under full names, a `Spread` of each metric shown that a
# run of the row has, and the hyperparameters they agree on. Besides `run`: its short name, of several runs the first
# one's, with `+2` for two more; `n`: how many; `runs`: their paths; `status`: the worst of theirs; `reason`: for that.
Row: TypeAlias = dict[str, Any]
_ABOUT_RUNS = ("run", "n", "runs", "status", "reason")


@dataclass
class Comparison:
    """Runs side by side, the same for the terminal and for files.

    Attributes:
        metrics: full names of the metric columns.
        keys: full names of the hyperparameter columns: those that differ between the rows.
        headings: of all columns, by full name: ``run``, when grouped ``n``, the metrics, the hyperparameters.
        rows: what can be compared.
        aside: the runs that have none of the metrics: reported, not compared.
        notes: what one must know to read the rows rightly, a line each.
        troubles: how many runs can be compared, if not all, and a line for each that is unfinished or broken.
    """

    metrics: list[str]
    keys: list[str]
    headings: dict[str, str]
    rows: list[Row]
    aside: list[Row]
    notes: list[str]
    troubles: list[str]


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
    aside = set(runs).difference(compared)
    names = run_names([run.path for run in runs])
    known = list(dict.fromkeys(key for run in compared for key in run.hyperparameters or {}))
    by = list(dict.fromkeys(match_one("hyperparameter", name, known) for name in group_by or () if known))
    same = by or [key for key in known if key != "seed"]  # in all runs of a group

    members: dict[object, list[Run]] = {}
    for run in compared:
        # Nobody knows what a run without hyperparameters may be averaged with.
        alone = group_by is None or run.hyperparameters is None
        members.setdefault(run.path if alone else _settings(run, same), []).append(run)
    agreed: list[dict[str, Value] | None] = []  # by the runs of a group
    mixed: dict[str, None] = {}
    for group in members.values():
        unlike = differing(run.hyperparameters for run in group)
        mixed |= dict.fromkeys(unlike)
        flat = group[0].hyperparameters
        agreed.append(flat and {key: value for key, value in flat.items() if key not in unlike})
    others = [key for key in differing(agreed) if key not in mixed and key not in by]
    keys = [key for key in by + others if key not in chosen]  # metrics.json has the seed too
    notes = [f"mean ± sample standard deviation over n runs that differ in: {', '.join(mixed)}"] if mixed else []
    chosen_on = [names[run.path] for run in compared if run.record.get("test_on") == "development"]
    if chosen_on:
        which = ", ".join(chosen_on) if len(chosen_on) < len(compared) else "all runs"
        notes.append(f"test values of training images set aside to choose by, not of the test split: {which}")
    headings = {"run": "run"}
    if group_by is not None:
        notes += _repeats(compared, known, names)
        headings["n"] = "n"
    headings |= {name: name.removeprefix("test/") for name in chosen} | {key: short_key(key, known) for key in keys}
    rows = [_row(group, flat, chosen, names) for group, flat in zip(members.values(), agreed, strict=True)]
    troubles = [f"{len(compared)} of {len(runs)} runs can be compared."] if aside else []
    for run in runs:
        if run.reason:
            troubles.append(f"{names[run.path]}: {run.status}, {run.reason}")
        elif run in aside:
            troubles.append(f"{names[run.path]}: has none of these metrics")
    rows_aside = [_row([run], run.hyperparameters, [], names) for run in runs if run in aside]
    return Comparison(chosen, keys, headings, rows, rows_aside, notes, troubles)


def _settings(run: Run, keys: Sequence[str]) -> tuple[Value | None, ...]:
    flat = run.hyperparameters or {}
    return tuple(comparable(flat.get(key)) for key in keys)


def _repeats(runs: Sequence[Run], known: Sequence[str], names: dict[Path, str]) -> list[str]:
    """A line for each run that merely repeats another, which makes the deviation of their row look too small."""
    notes = []
    first: dict[object, Run] = {}
    for run in runs:
        original = first.setdefault(_settings(run, known), run)
        # without a seed, no two runs are the same
        if original is not run and isinstance((run.hyperparameters or {}).get("seed"), int):
            notes.append(f"{names[run.path]} has the settings and seed of {names[original.path]}; both count")
    return notes


def _row(runs: list[Run], flat: dict[str, Value] | None, metrics: Sequence[str], names: dict[Path, str]) -> Row:
    found = {metric: [run.values[metric] for run in runs if metric in run.values] for metric in metrics}
    spreads = {metric: summarize(values) for metric, values in found.items() if values}
    more = f" +{len(runs) - 1}" if len(runs) > 1 else ""
    reasons = [f"{names[run.path]}: {run.reason}" if more else run.reason for run in runs if run.reason]
    about = {
        "run": names[runs[0].path] + more,
        "n": len(runs),
        "runs": [str(run.path) for run in runs],
        "status": max((run.status for run in runs), key=("ok", "unfinished", "broken").index),
        "reason": "; ".join(reasons),
    }
    return {**(flat or {}), **spreads, **about}


def sort_rows(comparison: Comparison, column: str, reverse: bool = False, values: Sequence[str] = ()) -> None:
    """Sort the rows in place: metrics best first, everything else ascending, rows without a value (or NaN) last.

    ``column`` is ``run``, ``n`` (when grouped), or a metric or hyperparameter by its heading, full name or unambiguous
    ending. A hyperparameter that is the same in all rows is accepted and changes nothing. ``reverse`` leaves the rows
    without a value last. ``values`` are the names of all that the runs have, one of which may have been meant.

    Raises:
        UserError: if there is no such column, or several.
    """
    shown = list(comparison.headings)
    hidden = list(dict.fromkeys(key for row in comparison.rows for key in row if key not in _ABOUT_RUNS))
    known = next((names for names in (shown, hidden) if matching(column, names)), None)
    if known is None:
        way = f"; --metrics {column} shows it" if matching(column, values) else ""
        raise UserError(f"there is no column {column!r}; columns: {', '.join(comparison.headings.values())}{way}")
    full = match_one("column", column, known)
    descending = bool(full in comparison.metrics and higher_is_better(full)) != reverse
    pairs = [(_sort_value(row.get(full)), row) for row in comparison.rows]
    filled = sorted((pair for pair in pairs if pair[0] is not None), key=lambda pair: pair[0], reverse=descending)
    comparison.rows = [row for _, row in filled] + [row for value, row in pairs if value is None]


def _sort_value(value: Spread | Value | None) -> Any:
    """A key that orders numbers before words; None if there is no value, or NaN."""
    if isinstance(value, str):
        return (1, 0, natural_order(value))
    number = value.mean if isinstance(value, Spread) else value
    return None if number is None or not math.isfinite(number) else (0, number, [])
