"""The normal images of the training split that look the least normal: which of a "good" folder may not be good.

An image that was learned from looks normal because of that. So only scores are used that did not see it:

- the normal validation images, on which no weight was trained.
- training images, by nearest neighbours among others, see `aeanomaly.page.unseen`. The net was trained on them, so one
  that it has learned by heart may still hide.

A score that was fitted on the validation images themselves (`Score.fitted_on`) has seen them; the page says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from aeanomaly.evaluation.detector import Detector
from aeanomaly.page.pictures import Pictures, pictures_of
from aeanomaly.page.unseen import Unseen, batches, unseen, ways

_MOST_TRAINING_IMAGES = 2000  # above that, another pass over them takes too long for the end of a run


@dataclass(frozen=True)
class Suspect:
    """An image.

    Attributes:
        index: its number in the training split.
        label: its class.
        path: its file, if it has one.
        trained_on: or held out.
        pictures: what is shown of it.
        line: how a list for ``data.exclude`` names it; None if it cannot be left out.
    """

    index: int
    label: int
    path: str | None
    trained_on: bool
    pictures: Pictures
    line: str | None = None


@dataclass
class Suspects:
    """The most suspicious images.

    Attributes:
        images: each once, for all scores.
        ranking: by name of the score, positions in ``images`` and scores, the most suspicious first.
        looked_at: how many images were, by name of the score.
        notes: by name of the score, how the images were kept apart from what judges them.
        left_out: of the pictures that the run left out already, the lines that name them.
    """

    images: list[Suspect] = field(default_factory=list)
    ranking: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    looked_at: dict[str, int] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


class _Place(NamedTuple):
    """Where an image is: among the training or the normal validation images, and its position there."""

    trained_on: bool
    position: int


def find_suspects(detector: Detector, data: Any, count: int, device: torch.device) -> Suspects:
    """The ``count`` most suspicious images by each score, of an `OneClassDataModule` that is set up.

    The detector is in evaluation mode.
    """
    found = Suspects()
    how, trained = ways(detector), len(data.split.train)
    # Of all devices together, of which one is at work here.
    size = max(1, data.eval_batch_size // getattr(getattr(data, "trainer", None), "world_size", 1))
    held_out, others = _held_out(detector, data, size, device), Unseen(detector, {}, {})
    if trained <= _MOST_TRAINING_IMAGES:
        others = unseen(detector, data.train_in_order_dataloader().dataset, size, device)
    numbers: dict[_Place, int] = {}  # of the images to be shown
    for name, scores in held_out.items():
        more = others.scores.get(name)
        worst = _most_suspicious(scores, more, count)
        found.ranking[name] = [(numbers.setdefault(place, len(numbers)), score) for place, score in worst]
        found.looked_at[name] = len(scores) + (0 if more is None else len(more))
        found.notes[name] = _note(detector, name, "" if more is None else how[name])
        if name in how and trained > _MOST_TRAINING_IMAGES:
            found.notes[name] += f" None of the {trained:,} training images was judged: only up to "
            found.notes[name] += f"{_MOST_TRAINING_IMAGES:,} are, since it takes another pass over them."
    shown = _shown(detector, others, data, list(numbers), device)
    found.images = [shown[place] for place in numbers]
    found.left_out = list(filter(None, map(data.exclude_line, data.paths.get("left_out", ()))))
    return found


def _most_suspicious(held_out: Tensor, trained_on: Tensor | None, count: int) -> list[tuple[_Place, float]]:
    """The images with the highest finite scores, the highest first."""
    places = [_Place(False, position) for position in range(len(held_out))]
    scores = held_out
    if trained_on is not None:
        places += [_Place(True, position) for position in range(len(trained_on))]
        scores = torch.cat([held_out, trained_on])
    worst = scores.nan_to_num(nan=-torch.inf).argsort(descending=True, stable=True)[:count]
    worst = worst[scores[worst].isfinite()]
    return [(places[row], score) for row, score in zip(worst.tolist(), scores[worst].tolist(), strict=True)]


def _shown(
    detector: Detector, others: Unseen, data: Any, places: Sequence[_Place], device: torch.device
) -> dict[_Place, Suspect]:
    """What the page has of the images, those that were trained on as judged by the others."""
    shown: dict[_Place, Suspect] = {}
    for trained_on, part, loader, rows in (
        (False, "val", data.val_dataloader, data.split.val_normal),
        (True, "train", data.train_in_order_dataloader, data.split.train),
    ):
        wanted = [place.position for place in places if place.trained_on == trained_on]
        if not wanted:
            continue
        table = loader().dataset
        batch = table[torch.tensor(wanted, device=table.device)]
        judge = others.judge(batch.index.to(device)) if trained_on else detector
        pictures = pictures_of(judge, batch.image.to(device))
        if trained_on:
            _drop_maps_that_saw(judge, pictures)
        for position, label, entry in zip(wanted, batch.label.tolist(), pictures, strict=True):
            path = data.paths[part][position] if data.paths else None
            line = data.exclude_line(path) if path is not None else None
            shown[_Place(trained_on, position)] = Suspect(int(rows[position]), label, path, trained_on, entry, line)
    return shown


def _held_out(detector: Detector, data: Any, size: int, device: torch.device) -> dict[str, Tensor]:
    """(n,) scores of the normal validation images, which come first in their table, by name."""
    pieces: dict[str, list[Tensor]] = {}
    for batch in batches(data.val_dataloader().dataset, len(data.split.val_normal), size):
        for name, judged in detector(batch.image.to(device)).items():
            pieces.setdefault(name, []).append(judged.score.cpu())
    return {name: torch.cat(parts) for name, parts in pieces.items()}


def _drop_maps_that_saw(judge: Detector, pictures: list[Pictures]) -> None:
    """Take out the maps of scores that were fitted to the images shown, which look normal by them whatever they are."""
    for name, score in judge.score_modules.items():
        if score.fitted_on == "train":
            for entry in pictures:
                entry.pop(f"map:{name}", None)


def _note(detector: Detector, score: str, how: str) -> str:
    text = "Validation images: no weight of the net was trained on them."
    if detector.fitted_on_half(score):
        text += f" But {score} was fitted on what the net makes of half of them, so the most unusual of these may hide."
    if how:
        text += f" Training images: {how}; the net itself was trained on them."
    return text
