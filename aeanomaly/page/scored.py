"""A finished run with the scores of its test images, read without torch."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aeanomaly.errors import UserError
from aeanomaly.runs.reading import Run, read_run

SCORES = "test_scores.csv"
_PATH = "path"  # its last column, where images have files
_START = 0.95  # quantile of normal scores at which a score without any threshold starts


@dataclass(frozen=True, eq=False)
class ScoredRun:
    """A run and its test_scores.csv.

    Attributes:
        run: what else its directory holds.
        index: (N,) int64, of each image in the test split.
        label: (N,) int64, its class.
        is_anomaly: (N,) bool.
        scores: (N,) float32 each, by name of the score.
    """

    run: Run
    index: NDArray[np.int64]
    label: NDArray[np.int64]
    is_anomaly: NDArray[np.bool_]
    scores: dict[str, NDArray[np.float32]]

    @property
    def main(self) -> str:
        """The score to begin with, as in `aeanomaly.load`: the last that is made of others, or else the first."""
        known = self.run.hyperparameters or {}
        fused = [name for name in self.scores if f"model.scores.{name}.of" in known]
        return fused[-1] if fused else next(iter(self.scores))

    def thresholds(self, score: str) -> dict[str, float]:
        """The value of each threshold of a score that is finite, by name."""
        start, known = f"threshold/{score}@", self.run.values.items()
        return {name.removeprefix(start): v for name, v in known if name.startswith(start) and math.isfinite(v)}

    def start(self, score: str) -> float:
        """The threshold to begin with: the run's first, or where 5 % of the normal test images lie above."""
        normal = self.scores[score][~self.is_anomaly]
        finite = normal[np.isfinite(normal)]
        chosen = next(iter(self.thresholds(score).values()), None)
        return chosen if chosen is not None else float(np.quantile(finite, _START)) if len(finite) else 0.0

    def flagged(self, score: str, threshold: float) -> NDArray[np.bool_]:
        """(N,) whether each image lies above a threshold or is NaN, compared in float32 as in the test."""
        above: NDArray[np.bool_] = ~(self.scores[score] <= np.float32(threshold))
        return above


def read_scored(path: Path) -> ScoredRun:
    """Read a run's directory.

    Raises:
        UserError: if it holds no scores of test images, or they cannot be read.
    """
    file = path / SCORES
    if not file.is_file():
        raise UserError(f"{path} has no {SCORES}: only a run that was tested has a report")
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            reader = csv.reader(stream)
            names = next(reader)
            has_path = names[-1:] == [_PATH]
            rows = [row[:-1] if has_path else row for row in reader]
        names = names[:-1] if has_path else names
        table = np.array(rows, np.float64).reshape(len(rows), -1) if rows else np.empty((0, len(names)))
    except (OSError, ValueError, StopIteration, csv.Error) as error:
        raise UserError(f"cannot read {file}: {' '.join(str(error).split()) or 'it is empty'}") from None
    begins = names[:3] == ["index", "class", "is_anomaly"] and len(names) > 3
    if not begins or not len(table) or table.shape[1] != len(names):
        wanted = "it must begin with index, class, is_anomaly, and have a score and a row"
        raise UserError(f"{file} is not a table of scores: {wanted}")
    index, label, is_anomaly = table[:, :3].T
    scores = {name: column.astype(np.float32) for name, column in zip(names[3:], table[:, 3:].T, strict=True)}
    return ScoredRun(read_run(path), index.astype(np.int64), label.astype(np.int64), is_anomaly > 0, scores)
