"""The order of the rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from aeanomaly.commands.compare.columns import higher_is_better
from aeanomaly.commands.compare.table import Comparison, Row
from aeanomaly.errors import UserError
from aeanomaly.runs.reading import natural_order


def sort_rows(comparison: Comparison, column: str, reverse: bool = False) -> None:
    """Sort the rows in place: metrics best first, everything else ascending, rows without a value last.

    Args:
        comparison: its rows are reordered.
        column: ``run``, ``n`` (when grouped), or a metric or hyperparameter by its heading, full name or unambiguous
            ending. A hyperparameter that is the same in all rows is accepted and changes nothing.
        reverse: the other way round; rows without a value, and NaN, stay last.

    Raises:
        UserError: if there is no such column, or several.
    """
    full = _find_column(comparison, column)
    descending = bool(full in comparison.metrics and higher_is_better(full)) != reverse
    values = [(_sort_value(row, full), row) for row in comparison.rows]
    filled = sorted((pair for pair in values if pair[0] is not None), key=lambda pair: pair[0], reverse=descending)
    comparison.rows = [row for _, row in filled] + [row for value, row in values if value is None]


def _find_column(comparison: Comparison, name: str) -> str:
    shown = ["run", *(["n"] if comparison.grouped else []), *comparison.metrics, *comparison.keys]
    hidden = [key for key in comparison.labels if key not in shown]
    if name in shown:
        return name
    for candidates in (shown, hidden):
        found = _called(name, candidates, comparison.labels)
        if len(found) == 1:
            return found[0]
        if found:
            raise UserError(f"the column {name!r} may be any of: {', '.join(found)}")
    columns = ", ".join(comparison.labels.get(full, full) for full in shown)
    raise UserError(f"there is no column {name!r}; columns: {columns}")


def _called(name: str, candidates: Sequence[str], labels: dict[str, str]) -> list[str]:
    exact = [full for full in candidates if name in (full, labels.get(full))]
    return exact or [full for full in candidates if full.endswith((f".{name}", f"/{name}"))]


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
