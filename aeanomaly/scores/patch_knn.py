"""Distance of each place to the nearest places of normal images."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.outputs import Output, folded
from aeanomaly.scores.base import Score
from aeanomaly.scores.knn import KNN


class PatchKNN(Score):
    """How far the most unusual places of an image are from all places of normal training images (PatchCore).

    A place is the vector of channels at one position of a (B, C, h, w) field. It is compared with those of all
    positions, so that objects need not be aligned. The map has the Euclidean distance of each place, and the score is
    the mean of the largest. Of Roth et al. (2022) are the bank, reduced to a core set, and the maximum; the weight that
    they give to the maximum by its neighbours is left out.

    Args:
        field: which field of the output is compared: ``features.grid`` of nets over a front end, ``features.front`` of
            `aeanomaly.models.untrained.Untrained`, the stages of a convolutional net, or the ``target``.
        top: places whose mean is the score; capped by those that there are. 1 for the maximum.
        k: neighbours whose mean distance is that of a place; capped by the size of the bank.
        bank: ``all``, ``random``, ``kmeans`` or ``coreset``, see `KNN`.
        size: places in a bank that is a part; capped by the candidates.
        candidates: how many places the bank is made from, drawn evenly from the training images; at least one of each.
        random_state: seed of both draws.

    Raises:
        UserError: if a number is below 1, or ``field`` is no output field.
    """

    reads: tuple[str, ...] = ("features.grid",)
    fitted_on = "train"

    def __init__(
        self,
        field: str = "features.grid",
        top: int = 1,
        k: int = 1,
        bank: Literal["all", "random", "kmeans", "coreset"] = "coreset",
        size: int = 2000,
        candidates: int = 20000,
        random_state: int = 0,
    ) -> None:
        super().__init__()
        if top < 1 or candidates < 1:
            raise UserError(f"model.scores: PatchKNN needs {top=} and {candidates=} of at least 1")
        self.knn = KNN(field, k, "euclidean", bank, size, random_state)
        self.field, self.top, self.candidates, self.random_state = field, top, candidates, random_state
        self.reads = self.knn.reads

    def sample(self, output: Output, index: Tensor, images: int) -> Output | None:
        """The field at some places of each image, (B, C, p, 1); None if all of them are needed."""
        field = self._field(output)
        places, wanted = field.shape[2:].numel(), math.ceil(self.candidates / images)
        if wanted >= places:
            return None
        chosen = torch.empty((len(field), 1, wanted), dtype=torch.long)
        for row, number in zip(chosen, index.tolist(), strict=True):
            generator = torch.Generator().manual_seed(folded((self.random_state << 20) + number))
            row[0] = torch.randperm(places, generator=generator)[:wanted]
        chosen = chosen.to(field.device).expand(-1, field.shape[1], -1)
        return Output.from_tensors({self.field: field.flatten(2).gather(2, chosen).unsqueeze(3)})

    def fit(self, outputs: Output) -> None:
        """Keep the places of the field, or what stands for them.

        Raises:
            UserError: if there is none, or one is not finite; if the field has no places.
        """
        self.knn.fit(self._places(self._field(outputs)))

    def forward(self, output: Output) -> Tensor:
        """(B,) means of the largest distances."""
        distances = self.map(output).flatten(1)
        return distances.topk(min(self.top, distances.shape[1]), dim=1, sorted=False).values.mean(1)

    def map(self, output: Output) -> Tensor:
        """(B, h, w) distances."""
        field = self._field(output)
        return self.knn.score(self._places(field)).view(-1, *field.shape[2:])

    def _field(self, output: Output) -> Tensor:
        field = output.tensors()[self.field]
        if field.ndim != 4:
            raise UserError(
                f"PatchKNN needs a field of places (B, C, h, w), such as features.grid, and {self.field} is of shape "
                f"{tuple(field.shape)}"
            )
        return field

    def _places(self, field: Tensor) -> Output:
        """(B, C, h, w) to a row for each place, (B h w, C), under the same name."""
        return Output.from_tensors({self.field: field.permute(0, 2, 3, 1).flatten(0, 2)})
