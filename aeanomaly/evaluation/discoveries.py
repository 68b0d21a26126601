"""What many images say together: which are anomalous, at a rate, and whether normal ones still look as in training.

Both cost memory for one number an image, or a few while they are computed.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aeanomaly.errors import UserError

# Both are kept as float32: a p-value of 1 / 20 must not lie above a rate of 0.05 for its rounding.
_ROUNDING = 1e-6


def discoveries(p_values: NDArray[Any], rate: float) -> NDArray[np.bool_]:
    """Which of (N,) p-values are discoveries at a false discovery rate, by Benjamini and Hochberg (1995).

    Of those that are flagged, at most this share is normal in expectation, however many images there are. That holds
    for p-values from one calibration, which depend on each other (Bates et al., 2023), if normal pictures are
    exchangeable with the held-out ones.

    Raises:
        UserError: if the rate is not in (0, 1).
    """
    if not 0 < rate < 1:
        raise UserError(f"a false discovery rate must lie strictly between 0 and 1, got {rate:g}")
    if not len(p_values):
        return np.zeros(0, bool)
    from scipy.stats import false_discovery_control  # takes a second to import

    flagged: NDArray[np.bool_] = false_discovery_control(p_values.astype(np.float64)) <= rate * (1 + _ROUNDING)
    return flagged


def fewest_discoveries(normal: int, images: int, rate: float) -> int:
    """The fewest images that can be flagged, unless none is: no p-value lies below 1 / (``normal`` + 1).

    It may be more than there are images, so that none can be flagged.
    """
    return max(1, math.ceil(images / ((normal + 1) * rate) - _ROUNDING))


class Drift(NamedTuple):
    """How far scores are from those of held-out normal images."""

    distance: float  # largest difference of the shares below a value, from 0 to 1
    p_value: float  # how rare so large a one is among normal images


def drift(scores: NDArray[Any], normal_scores: NDArray[Any]) -> Drift:
    """The Kolmogorov-Smirnov test of (N,) scores against (M,) of held-out normal images; NaN counts as the highest."""
    from scipy.stats import ks_2samp

    found = ks_2samp(np.nan_to_num(scores, nan=np.inf, posinf=np.inf), normal_scores)
    return Drift(float(found.statistic), float(found.pvalue))
