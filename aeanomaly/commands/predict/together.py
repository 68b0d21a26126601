"""What can only be said when all pictures are scored."""

from __future__ import annotations

import warnings

from aeanomaly.commands.predict.result_file import ResultFile
from aeanomaly.errors import AnomalyWarning
from aeanomaly.evaluation.discoveries import discoveries, drift, fewest_discoveries
from aeanomaly.inference.anomaly_detector import AnomalyDetector

_RARE = 0.01  # p-value below which a difference is told of


def add_discoveries(table: ResultFile, detector: AnomalyDetector, rate: float) -> str:
    """Give the table a column with the discoveries of the main score, and say how many there are."""
    name, total = detector.main, table.count
    flagged = discoveries(table.values(f"p_value/{name}"), rate)
    table.extend(f"{name}@fdr{rate:g}", (str(int(flag)) for flag in flagged))
    normal = len(detector.detector.calibration(name).normal_scores)
    said = f"Discoveries by {name} at a false discovery rate of {rate:g}: {flagged.sum():,} of {total:,}"
    fewest = fewest_discoveries(normal, total, rate)
    if flagged.any() or fewest == 1:
        return said
    possible = f"none, or {fewest:,} and more" if fewest <= total else "none"
    return (
        f"{said}; from {normal:,} held-out normal pictures there can be {possible}: hold out more "
        "(data.val_fraction), or raise the rate"
    )


def look_for_drift(table: ResultFile, detector: AnomalyDetector) -> str:
    """Warn if the main score of the pictures is not as it was for held-out normal ones; a line that says what it is."""
    name = detector.main
    normal = detector.detector.calibration(name).normal_scores.cpu().numpy()
    distance, p_value = drift(table.values(name), normal)
    found = f"Kolmogorov-Smirnov distance {distance:.3f}, p = {p_value:.2g}"
    if p_value >= _RARE:
        return f"Drift: none to be seen by {name} ({found})"
    warnings.warn(
        f"the pictures do not score by {name} as held-out normal ones do ({found}): where most of them are normal, "
        "something has changed since training, such as camera, light or subject, and p-values and rates of false "
        "alarms no longer hold; many anomalies among them look the same",
        AnomalyWarning,
        stacklevel=2,
    )
    return f"Drift: {name} differs ({found})"
