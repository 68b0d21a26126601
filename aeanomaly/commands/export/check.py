"""Whether a file computes what its checkpoint does."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from aeanomaly.commands.export.formats import Judge
from aeanomaly.errors import UserError
from aeanomaly.evaluation.detector import Detector, Judgement
from aeanomaly.evaluation.thresholds import Calibration

TOLERANCE = 1e-3  # share of a score, and of the standard deviation of normal scores
BATCHES = (1, 7)  # no graph made for one size passes


@torch.no_grad()
def check(judge: Judge, detector: Detector, names: list[str], images: Tensor) -> float:
    """Compare a file with the detector that it was made of, on images of the kind that it takes.

    The first image is judged by itself, then all in batches. A p-value may be any that scores within the tolerance
    have, and a decision may differ only where the threshold lies within the tolerance of the score.

    Returns:
        The largest difference of a score, in tolerances: at most 1.

    Raises:
        UserError: for any larger difference, and for an output that is missing or has another shape.
    """
    largest = 0.0
    for batch in _batches(images):
        found, expected = judge(batch), detector(batch)
        for name in names:
            largest = max(largest, _compare(name, expected[name], found, detector))
    return largest


def _batches(images: Tensor) -> Iterator[Tensor]:
    yield images[: BATCHES[0]]
    yield from images.split(BATCHES[1])


def _compare(name: str, expected: Judgement, found: dict[str, Tensor], detector: Detector) -> float:
    outputs = {name: expected.score, f"{name}.p_value": expected.p_value}
    outputs |= {f"{name}@{threshold}": flags for threshold, flags in expected.decision.items()}
    for output, tensor in outputs.items():
        if output not in found or found[output].shape != tensor.shape or found[output].dtype != tensor.dtype:
            raise UserError(f"the graph is refused: it has no output {output!r} of {len(tensor)} numbers")
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


def _tolerance(score: Tensor, calibration: Calibration) -> Tensor:
    normal = calibration.normal_scores
    spread = normal.std() if len(normal) > 1 else normal.new_zeros(())
    return TOLERANCE * (score.abs() + spread).clamp_min(torch.finfo(torch.float32).tiny)


def _refuse(output: str, wrong: Tensor, found: Tensor, expected: Tensor) -> None:
    if wrong.any():
        first = int(wrong.nonzero()[0])
        raise UserError(
            f"the graph is refused, and nothing was written: {output} of an image is {found[first].item():g} by the "
            f"file and {expected[first].item():g} by the checkpoint"
        )
