"""What a page shows of images: made while data and net are at hand, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from aeanomaly.errors import UserError
from aeanomaly.evaluation.detector import Detector
from aeanomaly.page.choice import choose
from aeanomaly.page.pictures import Pictures, evaluating, pictures_of
from aeanomaly.page.scored import ScoredRun
from aeanomaly.page.suspects import Suspects, find_suspects

_SUSPECTS = 24  # training images for each score


@dataclass
class Gallery:
    """What is shown of images.

    Attributes:
        test: pictures of test images, by their row in the run's table.
        paths: their files, if they have any.
        suspects: suspicious images of the training split.
        class_names: of class 0, 1, ..., if they have any.
    """

    test: dict[int, Pictures] = field(default_factory=dict)
    paths: dict[int, str] = field(default_factory=dict)
    suspects: Suspects = field(default_factory=Suspects)
    class_names: Sequence[str] | None = None


def make_gallery(detector: Detector, data: Any, scored: ScoredRun, images: int, device: torch.device) -> Gallery:
    """The pictures of a run.

    Args:
        detector: with the weights that were tested; it is left as it was, on the device.
        data: the run's `OneClassDataModule`, set up.
        images: how many test images are shown at most.
        device: where to compute.

    Raises:
        UserError: if the test images are not those of the run.
    """
    detector.to(device)
    table = data.test_dataloader().dataset
    same = len(table) == len(scored.label) and bool((table.labels.cpu() == torch.from_numpy(scored.label)).all())
    if not same:
        raise UserError("the test images are not those that the run was tested on")
    with evaluating(detector):
        rows = choose(scored, images)
        gallery = Gallery(class_names=data.class_names)
        if rows:
            batch = table[torch.tensor(rows, device=table.device)]
            gallery.test = dict(zip(rows, pictures_of(detector, batch.image.to(device)), strict=True))
            gallery.paths = {row: data.paths["test"][row] for row in rows if data.paths}
        gallery.suspects = find_suspects(detector, data, min(images, _SUSPECTS), device)
        return gallery
