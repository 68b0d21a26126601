"""Whether two runs ended alike, in everything but the time that they took."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor


def differences(run: Path, other: Path) -> list[str]:
    """What differs between two run directories; empty if they ended alike.

    Compared are the names of checkpoints and their weights and fitted scores, bit for bit; every score of every test
    image; the values of validation and test; every point of every scalar in TensorBoard.
    """
    found = []
    files = [sorted(path.name for path in each.glob("checkpoints/*")) for each in (run, other)]
    if files[0] != files[1]:
        return [f"checkpoints {files[0]} and {files[1]}"]
    for name in files[0]:
        states = [weights(each / "checkpoints" / name) for each in (run, other)]
        if not same(*states):
            found.append(f"weights in {name}")
    scores, values, points = ([read(each) for each in (run, other)] for read in (test_scores, final_values, scalars))
    found += [what for what, pair in (("test scores", scores), ("final values", values)) if pair[0] != pair[1]]
    tags = sorted(points[0].keys() | points[1].keys())
    return found + [f"points of {tag}" for tag in tags if points[0].get(tag) != points[1].get(tag)]


def weights(checkpoint: Path) -> dict[str, Any]:
    """Weights and fitted scores of a checkpoint."""
    state: dict[str, Any] = torch.load(checkpoint, weights_only=True)["state_dict"]
    return state


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether two states are equal, bit for bit but for NaN, which counts as 0."""
    return one.keys() == other.keys() and all(
        torch.equal(one[name].nan_to_num(), other[name].nan_to_num()) for name in one
    )


def test_scores(run: Path) -> list[list[str]]:
    """The lines of test_scores.csv; none where it is missing."""
    file = run / "test_scores.csv"
    return list(csv.reader(file.read_text().splitlines())) if file.is_file() else []


def final_values(run: Path) -> dict[str, float]:
    """What metrics.json says of validation and test."""
    file = run / "metrics.json"
    content = json.loads(file.read_text()) if file.is_file() else {}
    return {name: value for name, value in content.items() if name.startswith(("val/", "test/", "threshold/"))}


def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    """All points of TensorBoard, by tag, as it shows them."""
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(point.step, point.value) for point in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def without_comments(file: Path) -> list[str]:
    """Lines of a result; a trial that is begun again has a new number, which stands in comments."""
    return [line for line in file.read_text().splitlines() if not line.startswith("#")] if file.is_file() else []
