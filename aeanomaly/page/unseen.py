"""Scores of training images by what has not seen them, although they are what the scores were fitted to.

- **left out**: a `KNN` whose bank is all of them gives the distance to the nearest *others*, in whose scales, where it
  goes by these (`local`), the image still has its part.
- **other half**: where the bank is a part of them, or of their places (`PatchKNN`), nobody knows which row is of which
  image. Two copies are fitted anew, each to every other image, and judge the images between, which are drawn by their
  maps too.

The net was trained on all of them, so one that it has learned by heart may still hide.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from aeanomaly.evaluation.detector import Detector
from aeanomaly.evaluation.row_buffer import RowBuffer
from aeanomaly.evaluation.thresholds import halves
from aeanomaly.outputs import Batch, Output
from aeanomaly.scores.base import Score
from aeanomaly.scores.knn import KNN
from aeanomaly.scores.patch_knn import PatchKNN

LEFT_OUT, OTHER_HALF = "by the distance to the nearest others", "by a bank of the other half of them"


def batches(table: Any, count: int, size: int) -> Iterator[Batch]:
    """The first ``count`` images of a table, not by its loader: that gives a device its share of them only."""
    for positions in torch.arange(count, device=table.device).split(size):
        yield table[positions]


def ways(detector: Detector) -> dict[str, str]:
    """How the training images can be judged by what has not seen them, by name of the scores that can do so."""
    found = {}
    for name, score in detector.score_modules.items():
        if isinstance(score, KNN) and score.kind == "all":
            if len(score.bank) > score.k:
                found[name] = LEFT_OUT
        elif isinstance(score, (KNN, PatchKNN)):
            found[name] = OTHER_HALF
    return found


class EitherHalf(Score):
    """A score whose copies were fitted to the images at even places and to those at odd ones, and judge the others.

    Args:
        of_even: the copy that was fitted to the images at even places.
        of_odd: the other one.
        odd: (B,) bool, of the images of the one batch that is judged: whether each is at an odd place.
    """

    reads: tuple[str, ...] = ()  # those of an instance are those of the copies

    def __init__(self, of_even: Score, of_odd: Score, odd: Tensor) -> None:
        super().__init__()
        self.of_even, self.of_odd, self.odd = of_even, of_odd, odd
        self.reads = of_even.reads

    def forward(self, output: Output) -> Tensor:
        """(B,) scores."""
        return torch.where(self.odd, self.of_even.score(output), self.of_odd.score(output))

    def map(self, output: Output) -> Tensor | None:
        """(B, h, w) scores of places; None where the score has none."""
        of_even, of_odd = self.of_even.score_map(output), self.of_odd.score_map(output)
        return None if of_even is None or of_odd is None else torch.where(self.odd.view(-1, 1, 1), of_even, of_odd)


class Unseen(NamedTuple):
    """What has not seen the N training images, although the detector was fitted to them.

    Attributes:
        detector: that of the run.
        copies: by name of a score, two of it that were fitted to the images at even places, and to those at odd ones.
        scores: (N,) by name of those of `ways`.
    """

    detector: Detector
    copies: dict[str, tuple[Score, Score]]
    scores: dict[str, Tensor]

    def judge(self, positions: Tensor) -> Detector:
        """A detector for the images at (B,) positions, in whose scores of ``copies`` none of them has a part."""
        odd = positions % 2 == 1
        either = {name: EitherHalf(*pair, odd) for name, pair in self.copies.items()}
        judge = Detector(self.detector.net, {**self.detector.score_modules, **either}, self.detector.thresholds)
        judge.calibrations = self.detector.calibrations
        return judge


def unseen(detector: Detector, table: Any, size: int, device: torch.device) -> Unseen:
    """Judge the images of a table, which the detector was fitted to.

    Args:
        detector: in evaluation mode, without gradients; it stays as it is.
        table: the training images.
        size: how many the net looks at at a time.
        device: where to compute.
    """
    count, how = len(table), ways(detector)
    halved = [name for name, way in how.items() if way == OTHER_HALF and count > 1]
    found = Unseen(detector, _copies(detector, halved, batches(table, count, size), count, device), {})
    pieces: dict[str, list[Tensor]] = {}
    for batch in batches(table, count, size):
        judge = found.judge(batch.index.to(device))
        output = judge.output(batch.image.to(device))
        for name, way in how.items():
            score = detector.score_modules[name]
            if isinstance(score, KNN) and way == LEFT_OUT:
                judged = _others(score, output.only(score.reads))
            elif name in found.copies:
                judged = judge.score(name, output)
            else:
                continue
            pieces.setdefault(name, []).append(judged.cpu())
    return found._replace(scores={name: torch.cat(parts) for name, parts in pieces.items()})


def _others(score: KNN, output: Output) -> Tensor:
    """(B,) distances of images that are in the bank to the nearest others in it."""
    # An image is its own nearest neighbour, at distance 0: of the k + 1 nearest, k are others.
    score.k += 1
    try:
        mean = score.score(output)
    finally:
        score.k -= 1
    return mean * (score.k + 1) / score.k


def _copies(
    detector: Detector, names: list[str], images: Iterator[Batch], count: int, device: torch.device
) -> dict[str, tuple[Score, Score]]:
    """Each score of these fitted to the images at even places, and to those at odd ones."""
    if not names:
        return {}
    kept = {name: RowBuffer() for name in names}
    for batch in images:
        output = detector.output(batch.image.to(device))
        for name, rows in kept.items():
            score = detector.score_modules[name]
            needed = output.only(score.reads)
            rows.add((score.sample(needed, batch.index, (count + 1) // 2) or needed).tensors())
    found = {}
    for name, rows in kept.items():
        columns = rows.columns()
        pair = copy.deepcopy(detector.score_modules[name]), copy.deepcopy(detector.score_modules[name])
        for half, score in enumerate(pair):
            score.fit(Output.from_tensors({field: halves(values)[half] for field, values in columns.items()}))
        found[name] = pair
    return found
