"""Which thresholds decide: those of the checkpoint, one of them, or a value from the command line."""

from __future__ import annotations

import contextlib
import math

from aeanomaly.errors import UserError, suggestion
from aeanomaly.evaluation.thresholds import Fixed
from aeanomaly.inference.anomaly_detector import AnomalyDetector


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
    score = score or detector.main
    if score not in detector.score_names:
        raise UserError(f"--threshold: there is no score {score!r}; {suggestion(score, detector.score_names)}")
    with contextlib.suppress(ValueError):
        if math.isfinite(float(value)):
            module.thresholds = {value: Fixed(float(value), (score,))}
            return
    raise UserError(
        f"--threshold: {given!r} is neither a number nor a threshold of the checkpoint; "
        f"{suggestion(given, list(module.thresholds)) if module.thresholds else 'it has none'}"
    )
