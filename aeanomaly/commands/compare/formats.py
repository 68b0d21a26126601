"""A comparison as a table for the terminal, Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import asdict, fields
from itertools import islice
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from aeanomaly.commands.comparison.cells import columns_of
from aeanomaly.commands.comparison.columns import higher_is_better
from aeanomaly.commands.comparison.table import Comparison
from aeanomaly.commands.tables import markdown_table
from aeanomaly.runs.formula import harmless
from aeanomaly.runs.statistics import Spread, which_is_best


def to_table(comparison: Comparison, limit: int) -> Table:
    """Rounded values, the best of each metric in bold; the first ``limit`` rows."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    columns: list[list[str | Text]] = []
    for name, heading, numbers, cells in columns_of(comparison):
        best = which_is_best([row.get(name) for row in comparison.rows], higher_is_better(name))
        columns.append([Text(cell, "bold") if bold else cell for cell, bold in zip(cells, best, strict=True)])
        table.add_column(
            _folded(heading, max(map(len, cells), default=0)),
            justify="right" if numbers else "left",
            overflow="fold",
            no_wrap=name not in comparison.keys,
        )
    for texts in islice(zip(*columns, strict=True), limit):
        table.add_row(*texts)
    return table


def _folded(heading: str, width: int) -> str:
    """The heading in lines no wider than the column needs to be, which put together are the name to sort by."""
    lines = [""]
    for part in re.split(r"(?<=[/_])|(?<=\D\.)", heading):
        if lines[-1] and len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def to_markdown(comparison: Comparison) -> str:
    """A Markdown table with rounded values, and the notes and troubles as a list below it."""
    lines = markdown_table(column[1:] for column in columns_of(comparison))
    remarks = [f"- {line}" for line in comparison.notes + comparison.troubles]
    return "\n".join([*lines, *([""] if remarks else []), *remarks]) + "\n"


def to_csv(comparison: Comparison) -> str:
    """A line per row, then one per run set aside; full names, full precision.

    A missing value is an empty field, NaN is ``nan``. A text that a spreadsheet would take for a formula has an
    apostrophe before it. When grouped, ``run`` lists the runs separated by ``;``, and each
    metric has three columns: ``<metric>_mean``, ``<metric>_std``, ``<metric>_n``.
    """
    grouped = "n" in comparison.headings
    parts = [field.name for field in fields(Spread)]
    columns = [*(name for name in comparison.headings if name in ("run", "n")), "status", "reason"]
    columns += [f"{name}_{part}" for name in comparison.metrics for part in parts] if grouped else comparison.metrics
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns + comparison.keys, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in comparison.rows + comparison.aside:
        line = {**row, "run": ";".join(row["runs"])}
        for name, value in row.items():
            if isinstance(value, Spread):
                line |= {name: value.mean, **{f"{name}_{part}": getattr(value, part) for part in parts}}
        writer.writerow({key: harmless(value) if isinstance(value, str) else value for key, value in line.items()})
    return stream.getvalue()


def to_json(comparison: Comparison) -> str:
    """A list with an object per row, then one per run set aside; full names, full precision.

    Each has ``run`` (when grouped: ``runs``, a list), ``status``, ``reason``, ``metrics`` and ``hyperparameters``.
    A metric is a number, or when grouped an object with ``mean``, ``std`` and ``n``. JSON knows no NaN: it is null.
    """
    grouped = "n" in comparison.headings
    entries: list[dict[str, Any]] = []
    for row in comparison.rows + comparison.aside:
        spreads = {name: row[name] for name in comparison.metrics if name in row}
        entries.append(
            {
                **({"runs": row["runs"]} if grouped else {"run": row["runs"][0]}),
                "status": row["status"],
                "reason": row["reason"],
                "metrics": {name: asdict(spread) if grouped else spread.mean for name, spread in spreads.items()},
                "hyperparameters": {key: row[key] for key in comparison.keys if key in row},
            }
        )
    finite = json.loads(json.dumps(entries), parse_constant=lambda constant: None)
    return json.dumps(finite, indent=2, allow_nan=False) + "\n"
