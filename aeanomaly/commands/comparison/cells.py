"""What stands in the cells of a comparison, rounded for reading."""

from __future__ import annotations

from collections.abc import Iterator

from aeanomaly.commands.comparison.table import Comparison
from aeanomaly.evaluation.metric_name import MetricName
from aeanomaly.runs.statistics import Spread


def columns_of(comparison: Comparison) -> Iterator[tuple[str, str, bool, list[str]]]:
    """Full name, heading, whether it is a column of numbers, and the rounded values of each column."""
    for name, heading in comparison.headings.items():
        cells = [_text(name, row.get(name, "-"), row["n"]) for row in comparison.rows]
        yield name, heading, name == "n" or name in comparison.metrics, cells


def _text(column: str, value: object, runs: int) -> str:
    if not isinstance(value, Spread):
        return f"{value:.6g}" if isinstance(value, float) else str(value)
    name = MetricName.parse(column)
    share = name is not None and name.score  # between 0 and 1
    text = f"{value:{'.4f' if share else '.0f' if abs(value.mean) >= 1000 else '.4g'}}"
    return text if runs in (value.n, 1) else f"{text} ({value.n})"
