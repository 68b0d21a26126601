"""Which test images a page shows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from aeanomaly.page.scored import ScoredRun

IMAGES = 48  # test images on a page, unless said otherwise


def choose(scored: ScoredRun, count: int) -> list[int]:
    """At most ``count`` rows of test images, ascending.

    Taken in turn for each score: the false alarms with the highest scores and the missed anomalies with the lowest, at
    the run's threshold; normal and anomalous images spread evenly over the order of their scores, so that wherever a
    reader puts the threshold there are some on both sides of it. All together are neither typical nor a random sample.
    """
    lists = [part for score in scored.scores for part in _candidates(scored, score, count)]
    chosen: dict[int, None] = {}
    for rows in zip_longest(*lists):
        for row in rows:
            if row is not None and len(chosen) < count:
                chosen[row] = None
    return sorted(chosen)


def _candidates(scored: ScoredRun, score: str, count: int) -> Iterator[list[int]]:
    values, flagged = scored.scores[score], scored.flagged(score, scored.start(score))
    order = np.argsort(values, kind="stable")
    of_kind = [order[scored.is_anomaly[order] == kind] for kind in (False, True)]
    yield of_kind[0][::-1][flagged[of_kind[0][::-1]]][:count].tolist()
    yield of_kind[1][~flagged[of_kind[1]]][:count].tolist()
    share = max(2, count // (4 * len(scored.scores)))
    for rows in of_kind:
        yield _spread(rows, share)


def _spread(rows: NDArray[np.int64], count: int) -> list[int]:
    """``count`` of the rows evenly spaced, then the others."""
    if not len(rows):
        return []
    places = np.unique(np.linspace(0, len(rows) - 1, count).round().astype(int))
    return [*rows[places].tolist(), *np.delete(rows, places)[:count].tolist()]
