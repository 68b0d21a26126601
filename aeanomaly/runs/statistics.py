"""What several runs say together: mean, spread, and which is best. Without torch or numpy."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
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


def which_is_best(values: Sequence[object], higher_is_better: bool | None) -> list[bool]:
    """For each value whether it is a `Spread` with the best finite mean, to be shown in bold.

    All are False where fewer than two have a finite mean, or neither way is better.
    """
    means = [value.mean if isinstance(value, Spread) else math.nan for value in values]
    finite = [mean for mean in means if math.isfinite(mean)]
    if higher_is_better is None or len(finite) < 2:
        return [False] * len(values)
    best = max(finite) if higher_is_better else min(finite)
    return [mean == best for mean in means]
