"""Whether thresholds keep their promise: the share of tested normal images that they flag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scipy import stats

from aeanomaly.commands.benchmark.results import NORMALS, Row
from aeanomaly.commands.benchmark.significance import LEVEL
from aeanomaly.commands.tables import markdown_table
from aeanomaly.evaluation.metric_name import MetricName

_LEGEND = """\
The share of tested normal images above the threshold, of all cells together with its 95 % interval (Clopper and
Pearson, 1934, as if all their images were independent), and of the lowest and highest cell. **Above** and **below**
count the cells whose own interval lies wholly above or below the promised rate. The promise is one of the mean over
draws of the images that calibrate: single cells scatter around it."""


def false_alarms(rows: Sequence[Row], promises: Mapping[str, float]) -> list[str]:
    """A section with a line for each row of the summary and each threshold that promises a rate of false alarms.

    Args:
        promises: the promised rate by the name of the threshold.
    """
    lines = []
    for name in dict.fromkeys(row.line for row in rows):
        for threshold, promised in promises.items():
            column = MetricName("test", "normal_accuracy", threshold=threshold).column
            of_line = [row.values for row in rows if row.line == name and {column, NORMALS} <= row.values.keys()]
            if not of_line:
                continue
            counts = [round(values[NORMALS]) for values in of_line]
            flagged = [round((1 - values[column]) * n) for values, n in zip(of_line, counts, strict=True)]
            rates = [k / n for k, n in zip(flagged, counts, strict=True)]
            limits = [_interval(k, n) for k, n in zip(flagged, counts, strict=True)]
            above, below = sum(low > promised for low, _ in limits), sum(high < promised for _, high in limits)
            spreads = (_span(*_interval(sum(flagged), sum(counts))), _span(min(rates), max(rates)))
            rate = f"{sum(flagged) / sum(counts):.4f}"
            lines.append((name, threshold, f"{promised:g}", rate, *spreads, f"{above}", f"{below}"))
    if not lines:
        return []
    titles = ("score", "threshold", "promised", "rate", "95 % interval", "lowest to highest", "above", "below")
    columns = zip(titles, zip(*lines, strict=True), strict=True)
    table = markdown_table([(title, title not in titles[:2], values) for title, values in columns])
    return ["", "## False alarms", "", *_LEGEND.splitlines(), "", *table]


def _interval(flagged: int, count: int) -> tuple[float, float]:
    limits = stats.binomtest(flagged, count).proportion_ci(1 - LEVEL, "exact")
    return limits.low, limits.high


def _span(low: float, high: float) -> str:
    return f"{low:.4f} to {high:.4f}"
