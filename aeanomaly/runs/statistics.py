"""What several runs say together: mean, spread, and which is best. Without torch or numpy."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """One or more values of the same metric.

    Attributes:
        mean: the mean of the finite values. If there is none: the value itself if it is the only one, else NaN.
        std: their sample standard deviation (divided by n - 1), None for fewer than two.
        n: how many finite values there are.
    """

    mean: float
    std: float | None
    n: int

    def __format__(self, spec: str) -> str:
        """The mean and, if there is one, ± the deviation, both as numbers with this ``spec``."""
        return " ± ".join(format(value, spec) for value in (self.mean, self.std) if value is not None)


def summarize(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation of the finite ones among the values."""
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2:
        alone = finite or (values if len(values) == 1 else [math.nan])
        return Spread(alone[0], None, len(finite))
    return Spread(statistics.fmean(finite), statistics.stdev(finite), len(finite))


def best_mean(spreads: Iterable[Spread], higher_is_better: bool | None) -> float | None:
    """The best of the finite means, to be shown in bold; None for fewer than two, or where neither way is better."""
    means = [spread.mean for spread in spreads if math.isfinite(spread.mean)]
    if higher_is_better is None or len(means) < 2:
        return None
    return max(means) if higher_is_better else min(means)
