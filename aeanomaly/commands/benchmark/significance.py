"""How sure a mean over classes is, and which rows of a table cannot be told from the best one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.05  # of significance
_FEWEST_CLASSES = 6  # the smallest two-sided p over n classes is 2 / 2**n, which is above the level for fewer


def interval(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """95 % interval of the mean of a sample by Student's t, cut to [0, 1], where all ranking measures lie.

    Values that are not finite do not count; None if fewer than two are left.
    """
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return None
    half = stats.t.ppf(1 - LEVEL / 2, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known))
    return float(max(known.mean() - half, 0.0)), float(min(known.mean() + half, 1.0))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number, to be compared with the level as it is.

    From the smallest on, each is multiplied by how many are left, itself included, and is at least the one before it
    (S. Holm, A simple sequentially rejective multiple test procedure, 1979).
    """
    order = np.argsort(p_values)
    scaled = np.asarray(p_values, dtype=float)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return [float(p) for p in corrected]


def paired_p(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; pairs without a difference are dropped, as Wilcoxon did."""
    differences = one - other
    differences = differences[differences != 0]
    return float(stats.wilcoxon(differences).pvalue) if len(differences) else 1.0


@dataclass(frozen=True)
class Comparison:
    """Rows of a table against the best of them.

    Attributes:
        best: position of the row with the best mean among those with the most classes; None without a finite value.
        shared: for each row, over how many classes it is compared with the best one.
        p: corrected p of each row's difference to the best one; None for the best itself, and where too few classes are
            shared for any difference to be significant.
        smallest_p: what `p` could be at the least, however clear the differences; None if nothing is compared.
    """

    best: int | None
    shared: list[int]
    p: list[float | None]
    smallest_p: float | None

    @property
    def decides(self) -> bool:
        """Whether there are enough classes, for so many rows, to find any difference."""
        return self.smallest_p is not None and self.smallest_p < LEVEL

    @property
    def among_the_best(self) -> list[bool]:
        """For each row, whether it is the best or not significantly different; none is where nothing is decided."""
        return [self.decides and (row == self.best or (p is not None and p >= LEVEL)) for row, p in enumerate(self.p)]


def compare_to_best(values: NDArray[np.float64], higher_is_better: bool) -> Comparison:
    """Test each row of ``values`` (rows, classes) against the best one over the classes that both have.

    NaN stands for a class that a row lacks. A row with few classes may have a high mean because they are easy ones:
    the best row is looked for among those with the most classes.
    """
    known = np.isfinite(values)
    counts = known.sum(axis=1)
    p: list[float | None] = [None] * len(values)
    if not counts.any():
        return Comparison(None, counts.tolist(), p, None)
    worst = -np.inf if higher_is_better else np.inf
    means = [row[have].mean() if have.sum() == counts.max() else worst for row, have in zip(values, known, strict=True)]
    best = int(np.argmax(means) if higher_is_better else np.argmin(means))
    both = known & known[best]
    shared = both.sum(axis=1)
    tested = [row for row, n in enumerate(shared) if row != best and n >= _FEWEST_CLASSES]
    found = [paired_p(values[row, both[row]], values[best, both[row]]) for row in tested]
    for row, corrected in zip(tested, holm(found), strict=True):
        p[row] = corrected
    most = np.delete(shared, best).max(initial=0)
    smallest = min(max(len(tested), 1) * 2.0 ** (1 - int(most)), 1.0) if most else None
    return Comparison(best, shared.tolist(), p, smallest)
