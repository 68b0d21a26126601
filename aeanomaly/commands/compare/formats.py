"""A comparison as a table for the terminal, Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import asdict, astuple, fields
from functools import partial
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from aeanomaly.commands.compare.columns import higher_is_better
from aeanomaly.commands.compare.table import Comparison, Row
from aeanomaly.evaluation.metric_name import MetricName
from aeanomaly.runs.reading import Run
from aeanomaly.runs.statistics import Spread, best_mean

_EMPTY = "-"


def to_table(comparison: Comparison) -> Table:
    """Rounded values, the best of each metric in bold."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("run", no_wrap=True)
    if comparison.grouped:
        table.add_column("n", justify="right")
    first = len(table.columns)
    rows: list[list[str | Text]] = [[*_cells(comparison, row)] for row in comparison.rows]
    for place, name in enumerate([*comparison.metrics, *comparison.keys], start=first):
        heading = _heading(comparison.labels[name], max((len(cells[place]) for cells in rows), default=0))
        if name not in comparison.metrics:
            table.add_column(heading, overflow="fold")
            continue
        table.add_column(heading, justify="right", no_wrap=True)
        spreads = [row.values.get(name) for row in comparison.rows]
        best = best_mean(filter(None, spreads), higher_is_better(name))
        for cells, spread in zip(rows, spreads, strict=True):
            if spread is not None and spread.mean == best:
                cells[place] = Text(str(cells[place]), style="bold")
    for cells in rows:
        table.add_row(*cells)
    return table


def _heading(label: str, width: int) -> str:
    """The label in lines no wider than the column needs to be, which put together are the name to sort by."""
    lines = [""]
    for part in re.split(r"(?<=[/_])|(?<=\D\.)", label):
        if lines[-1] and len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def remarks(comparison: Comparison) -> list[str]:
    """The notes, how many runs can be compared, and a line for each run that is unfinished or broken."""
    lines = list(comparison.notes)
    if comparison.aside:
        lines.append(f"{len(comparison.runs) - len(comparison.aside)} of {len(comparison.runs)} runs can be compared.")
    aside = {run.path for run in comparison.aside}
    for run in comparison.runs:
        reason = run.reason or ("has none of these metrics" if run.path in aside else "")
        if reason:
            lines.append(f"{comparison.names[run.path]}: {'' if run.status == 'ok' else run.status + ', '}{reason}")
    return lines


def to_markdown(comparison: Comparison) -> str:
    """A Markdown table with rounded values, and the remarks as a list below it."""
    headings = ["run", *(["n"] if comparison.grouped else [])]
    headings += [comparison.labels[name] for name in [*comparison.metrics, *comparison.keys]]
    right = len(headings) - len(comparison.keys)
    rule = ["---", *["---:"] * (right - 1), *["---"] * len(comparison.keys)]
    rows = [headings, rule, *(_cells(comparison, row) for row in comparison.rows)]
    lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
    notes = remarks(comparison)
    return "\n".join([*lines, *([""] if notes else []), *(f"- {note}" for note in notes)]) + "\n"


def _cells(comparison: Comparison, row: Row) -> list[str]:
    cells = [row.name, *([str(len(row.runs))] if comparison.grouped else [])]
    cells += [_spread_text(name, row.values.get(name), len(row.runs)) for name in comparison.metrics]
    flat = row.hyperparameters or {}
    return cells + [_value_text(flat[key]) if key in flat else _EMPTY for key in comparison.keys]


def _spread_text(metric: str, spread: Spread | None, runs: int) -> str:
    if spread is None:
        return _EMPTY
    text = spread.text(partial(_number_text, metric))
    return text if spread.n == runs or runs == 1 else f"{text} ({spread.n})"


def _number_text(metric: str, value: float) -> str:
    name = MetricName.parse(metric)
    if name is not None and name.score:  # a share between 0 and 1
        return f"{value:.4f}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _value_text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def to_csv(comparison: Comparison) -> str:
    """A line per row, then one per run set aside; full names, full precision.

    A missing value is an empty field, NaN is ``nan``. When grouped, ``run`` lists the runs separated by ``;``, and each
    metric has three columns: ``<metric>_mean``, ``<metric>_std``, ``<metric>_n``.
    """
    parts = [f"_{field.name}" for field in fields(Spread)] if comparison.grouped else [""]
    columns = ["run", *(["n"] if comparison.grouped else []), "status", "reason"]
    columns += [metric + part for metric in comparison.metrics for part in parts] + comparison.keys
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for entry in _entries(comparison):
        values: dict[str, float | None] = {}
        for metric, spread in entry["metrics"].items():
            values |= {metric + part: value for part, value in zip(parts, astuple(spread), strict=False)}
        runs = {"run": ";".join(entry["runs"]), "n": len(entry["runs"])}
        writer.writerow({**entry, **runs, **values, **entry["hyperparameters"]})
    return stream.getvalue()


def to_json(comparison: Comparison) -> str:
    """A list with an object per row, then one per run set aside; full names, full precision.

    Each has ``run`` (when grouped: ``runs``, a list), ``status``, ``reason``, ``metrics`` and ``hyperparameters``.
    A metric is a number, or when grouped an object with ``mean``, ``std`` and ``n``. JSON knows no NaN: it is null.
    """
    entries = _entries(comparison)
    for entry in entries:
        spreads = entry["metrics"].items()
        entry["metrics"] = {name: asdict(spread) if comparison.grouped else spread.mean for name, spread in spreads}
    if not comparison.grouped:
        entries = [{"run": entry.pop("runs")[0], **entry} for entry in entries]
    finite = json.loads(json.dumps(entries), parse_constant=lambda constant: None)
    return json.dumps(finite, indent=2, allow_nan=False) + "\n"


def _entries(comparison: Comparison) -> list[dict[str, Any]]:
    groups = [(row.runs, row.values, row.hyperparameters) for row in comparison.rows]
    groups += [([run], {}, run.hyperparameters) for run in comparison.aside]
    return [
        {
            "runs": [str(run.path) for run in runs],
            "status": max((run.status for run in runs), key=("ok", "unfinished", "broken").index),
            "reason": _reason(comparison, runs),
            "metrics": spreads,
            "hyperparameters": {key: flat[key] for key in comparison.keys if key in flat} if flat else {},
        }
        for runs, spreads, flat in groups
    ]


def _reason(comparison: Comparison, runs: list[Run]) -> str:
    if len(runs) == 1:
        return runs[0].reason
    return "; ".join(f"{comparison.names[run.path]}: {run.reason}" for run in runs if run.reason)
