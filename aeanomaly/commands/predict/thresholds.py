"""Which score is the main one, and which thresholds decide: those of the checkpoint, one of them, or a value."""

from __future__ import annotations

import contextlib
import math

from aeanomaly.errors import UserError, suggestion
from aeanomaly.evaluation.thresholds import Fixed
from aeanomaly.inference.anomaly_detector import AnomalyDetector


def choose_score(detector: AnomalyDetector, given: str | None) -> None:
    """Have a detector take this score for its main one.

    Raises:
        UserError: if there is no such score.
    """
    if given is not None:
        detector.main = _known(detector, given, "--score")


def choose_threshold(detector: AnomalyDetector, given: str | None) -> None:
    """Have a detector decide by ``NAME`` of the checkpoint, ``VALUE`` for the main score, or ``SCORE=VALUE``.

    Raises:
        UserError: if there is no such threshold or score.
    """
    module = detector.detector
    if given is None:
        return
    if given in module.thresholds:
        module.thresholds = {given: module.thresholds[given]}
        return
    score, _, value = given.rpartition("=")
    score = _known(detector, score or detector.main, "--threshold")
    with contextlib.suppress(ValueError):
        if math.isfinite(float(value)):
            module.thresholds = {value: Fixed(float(value), (score,))}
            return
    raise UserError(
        f"--threshold: {given!r} is neither a number nor a threshold of the checkpoint; "
        f"{suggestion(given, list(module.thresholds)) if module.thresholds else 'it has none'}"
    )


def _known(detector: AnomalyDetector, score: str, option: str) -> str:
    if score not in detector.score_names:
        raise UserError(f"{option}: there is no score {score!r}; {suggestion(score, detector.score_names)}")
    return score
