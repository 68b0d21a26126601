"""The scores of all images as a table in a file."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from aeanomaly.outputs import PATH, Evaluation
from aeanomaly.runs.files import as_utf8
from aeanomaly.runs.formula import harmless


def scores_csv(evaluation: Evaluation, paths: Sequence[str] = (), decisions: bool = False) -> str:
    """One row per image: index, class, is_anomaly, one column per score, and the file of the image if it has one.

    Args:
        evaluation: what is written.
        paths: of the files, by ``index``; none if the images have none. See `harmless`. Bytes that are no UTF-8 become
            question marks.
        decisions: leave the truth out, and add a column ``<score>@<threshold>`` of 0 and 1 per threshold;
            NaN is above any.
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
                    columns[f"{name}@{threshold}"] = [str(int(flag)) for flag in (~(scores <= value)).tolist()]
    if paths:
        names = (as_utf8(paths[i]) for i in evaluation.index.tolist())
        columns[PATH] = [harmless(name) for name in names]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()
