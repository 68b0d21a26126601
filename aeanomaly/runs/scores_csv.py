"""The scores of all images as a table in a file."""

from __future__ import annotations

import math

from aeanomaly.outputs import Evaluation


def scores_csv(evaluation: Evaluation, decisions: bool = False) -> str:
    """One row per image: index, class, is_anomaly, one column per score.

    With ``decisions``, without the truth, and with a column ``<score>@<threshold>`` of 0 and 1 per threshold.
    """
    columns: dict[str, list[str]] = {"index": [str(i) for i in evaluation.index.tolist()]}
    if not decisions:
        columns["class"] = [str(label) for label in evaluation.label.tolist()]
        columns["is_anomaly"] = [str(int(flag)) for flag in evaluation.is_anomaly.tolist()]
    for name, scores in evaluation.scores.items():
        columns[name] = [f"{score:.9g}" for score in scores.tolist()]  # nine digits restore a float32 exactly
        if decisions:
            for threshold, value in evaluation.thresholds[name].items():
                if not math.isnan(value):
                    columns[f"{name}@{threshold}"] = [str(int(flag)) for flag in (scores > value).tolist()]
    rows = [",".join(columns), *(",".join(row) for row in zip(*columns.values(), strict=True))]
    return "\n".join(rows) + "\n"
