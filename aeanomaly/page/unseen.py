"""Scores of training images by what has not seen them, although they are what the scores were fitted to.

- **left out**: a `KNN` whose bank is all of them gives the distance to the nearest *others*.
- **other half**: a bank that is a part of them, or of their places (`PatchKNN`), does not tell whose its rows are. Two
  copies are fitted anew, each to every other image, and judge the images between.

The net was trained on all of them, so one that it has learned by heart may still hide.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from aeanomaly.evaluation.detector import Detector
from aeanomaly.evaluation.row_buffer import RowBuffer
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


def unseen(detector: Detector, table: Any, size: int, device: torch.device) -> dict[str, Tensor]:
    """(N,) scores of the N images of a table, which the detector was fitted to, by name of those of `ways`.

    Args:
        detector: in evaluation mode, without gradients; it stays as it is.
        table: the training images.
        size: how many the net looks at at a time.
        device: where to compute.
    """
    count, how = len(table), ways(detector)
    halved = [name for name, way in how.items() if way == OTHER_HALF and count > 1]
    copies = _copies(detector, halved, batches(table, count, size), count, device)
    pieces: dict[str, list[Tensor]] = {}
    for batch in batches(table, count, size):
        output = detector.complete(detector.net(batch.image.to(device)))
        odd = batch.index.to(device) % 2 == 1
        for name in how:
            score = detector.score_modules[name]
            needed = output.only(score.reads)
            if isinstance(score, KNN) and how[name] == LEFT_OUT:
                judged = _others(score, needed)
            elif name in copies:
                of_even, of_odd = copies[name]
                judged = torch.where(odd, of_even(needed), of_odd(needed))
            else:
                continue
            pieces.setdefault(name, []).append(judged.cpu())
    return {name: torch.cat(parts) for name, parts in pieces.items()}


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
        output = detector.complete(detector.net(batch.image.to(device)))
        for name, rows in kept.items():
            score = detector.score_modules[name]
            needed = output.only(score.reads)
            rows.add((score.sample(needed, batch.index, (count + 1) // 2) or needed).tensors())
    found = {}
    for name, rows in kept.items():
        columns = rows.columns()
        pair = copy.deepcopy(detector.score_modules[name]), copy.deepcopy(detector.score_modules[name])
        for start, score in enumerate(pair):
            score.fit(Output.from_tensors({field: values[start::2] for field, values in columns.items()}))
        found[name] = pair
    return found
