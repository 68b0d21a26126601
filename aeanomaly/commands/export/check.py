"""Whether a file computes what its checkpoint does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from aeanomaly.commands.export.formats import Judge
from aeanomaly.errors import UserError
from aeanomaly.evaluation.detector import Detector, Judgement
from aeanomaly.evaluation.thresholds import Calibration

TOLERANCE = 1e-3  # share of a score, and of the standard deviation of normal scores
# Shares of a place of a map, and of the standard deviation of all places. The latter is for where an image is flat: a
# distance there, or what a front end makes of the contrast, is the root of a rounding error. A hundredth was seen.
MAP_TOLERANCE = (1e-2, 5e-2)
BATCHES = (1, 7)  # no graph made for one size passes


class Differences(NamedTuple):
    """The largest ones between a file and its checkpoint, in tolerances: at most 1; 0 for what is not compared."""

    scores: float
    maps: float


@torch.no_grad()
def check(
    judge: Judge, detector: Detector, names: Sequence[str], images: Tensor, mapped: Sequence[str] = ()
) -> Differences:
    """Compare a file with the detector that it was made of, on images of the kind that it takes.

    The first image is judged by itself, then all in batches. A p-value may be any that scores within the tolerance
    have, and a decision may differ only where the threshold lies within the tolerance of the score.

    Args:
        judge: what the file computes.
        detector: that it was made of.
        names: of the scores that the file gives.
        images: (N, C, H, W).
        mapped: those of the scores whose maps it gives.

    Raises:
        UserError: for a difference above the tolerance, and for an output that is missing or has another shape.
    """
    of_scores, of_maps = [0.0], [0.0]
    maps = _maps(detector, mapped, images)
    spreads = {name: places.std(correction=0) for name, places in maps.items()}
    for rows in _batches(len(images)):
        found, expected = judge(images[rows]), detector(images[rows])
        of_scores += [_compare(name, expected[name], found, detector) for name in names]
        of_maps += [_compare_map(f"{name}.map", places[rows], found, spreads[name]) for name, places in maps.items()]
    return Differences(max(of_scores), max(of_maps))


def _batches(count: int) -> Iterator[slice]:
    yield slice(BATCHES[0])
    for first in range(0, count, BATCHES[1]):
        yield slice(first, first + BATCHES[1])


def _maps(detector: Detector, names: Sequence[str], images: Tensor) -> dict[str, Tensor]:
    """(N, H, W) maps of the images by these scores."""
    if not names:
        return {}
    found = [detector.explain(batch) for batch in images.split(BATCHES[1])]
    return {name: torch.cat([maps[name] for maps in found]) for name in names}


def _compare(name: str, expected: Judgement, found: dict[str, Tensor], detector: Detector) -> float:
    outputs = {name: expected.score, f"{name}.p_value": expected.p_value}
    outputs |= {f"{name}@{threshold}": flags for threshold, flags in expected.decision.items()}
    _require(outputs, found)
    calibration = detector.calibration(name)
    score, tolerance = expected.score, _tolerance(expected.score, calibration)
    off = (found[name] - score).abs()
    _refuse(name, ~(off <= tolerance), found[name], score)
    # The higher the score, the lower its p-value.
    least, most = calibration.p_value(score + tolerance), calibration.p_value(score - tolerance)
    p_value = found[f"{name}.p_value"]
    _refuse(f"{name}.p_value", ~((p_value > least - 1e-6) & (p_value < most + 1e-6)), p_value, expected.p_value)
    for threshold, value in detector.threshold_values(name).items():
        output = f"{name}@{threshold}"
        sure = (score - value).abs() > tolerance
        _refuse(output, sure & (found[output] != outputs[output]), found[output], outputs[output])
    return float((off / tolerance).max())


def _compare_map(output: str, expected: Tensor, found: dict[str, Tensor], spread: Tensor) -> float:
    _require({output: expected}, found)
    of_value, of_spread = MAP_TOLERANCE
    tolerance = _positive(of_value * expected.abs() + of_spread * spread)
    off = (found[output] - expected).abs()
    _refuse(f"a place of {output}", ~(off <= tolerance), found[output], expected)
    return float((off / tolerance).max())


def _require(outputs: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    for output, tensor in outputs.items():
        if output not in found or found[output].shape != tensor.shape or found[output].dtype != tensor.dtype:
            numbers = " x ".join(map(str, tensor.shape))
            raise UserError(f"the graph is refused: it has no output {output!r} of {numbers} numbers")


def _tolerance(score: Tensor, calibration: Calibration) -> Tensor:
    normal = calibration.normal_scores
    spread = normal.std() if len(normal) > 1 else normal.new_zeros(())
    return _positive(TOLERANCE * (score.abs() + spread))


def _positive(tolerance: Tensor) -> Tensor:
    return tolerance.clamp_min(torch.finfo(torch.float32).tiny)


def _refuse(output: str, wrong: Tensor, found: Tensor, expected: Tensor) -> None:
    if wrong.any():
        first = tuple(wrong.nonzero()[0])
        raise UserError(
            f"the graph is refused, and nothing was written: {output} of an image is {found[first].item():g} by the "
            f"file and {expected[first].item():g} by the checkpoint"
        )
