"""What scores of one vector per image share: which fields of the output they see, and what they are fitted on."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.outputs import Output
from aeanomaly.scores.base import Score

NUMBERS_AT_ONCE = 2**24  # 64 MiB of float32

_FIELD = re.compile(r"(again\.)?(code|reconstruction|target|features\..+)")


def checked_fields(kind: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of output fields as they are.

    Raises:
        UserError: if there is none, or one that no output can have.
    """
    unknown = [name for name in names if not _FIELD.fullmatch(name)]
    if unknown or not names:
        raise UserError(
            f"model.scores: {kind} cannot read {list(names)}; name code, reconstruction, target or features.LAYER, or "
            "one of them after `again.`"
        )
    return names


def checked_seed(kind: str, seed: int) -> int:
    """The ``random_state`` of a score as it is.

    Raises:
        UserError: if scikit-learn or numpy would not take it.
    """
    if not 0 <= seed < 2**32:
        raise UserError(f"model.scores: {kind} needs a random_state from 0 to 2**32 - 1, got {seed}")
    return seed


class VectorScore(Score):
    """A score that sees a field of the output as one vector per image; several fields are joined to one vector.

    Args:
        fields: names of output fields, such as ``code`` or ``features.layer2``.

    Raises:
        UserError: if a name is none of an output field.
    """

    reads: tuple[str, ...] = ("code",)

    def __init__(self, *fields: str) -> None:
        super().__init__()
        self.reads = checked_fields(type(self).__name__, fields)

    def vectors(self, output: Output) -> Tensor:
        """(B, D), D counting every number of the fields."""
        tensors = output.tensors()
        pieces = [tensors[name].flatten(1) for name in self.reads]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, 1)

    def normal_vectors(self, outputs: Output, at_least: int = 1, at_most: int | None = None, seed: int = 0) -> Tensor:
        """(N, D) vectors to fit on, on the CPU.

        Args:
            outputs: of normal images.
            at_least: the fewest that will do.
            at_most: the most that are wanted; of more, as many are drawn without replacement. None for all.
            seed: of the draw.

        Raises:
            UserError: if there are too few, or one is not finite.
        """
        vectors = require_usable(self, self.vectors(outputs).cpu(), at_least)
        count = len(vectors)
        if at_most is not None and at_most < count:
            drawn = torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:at_most]
            vectors = vectors[drawn.sort().values]
        return vectors


def require_usable(score: Score, vectors: Tensor, at_least: int) -> Tensor:
    """The (N, D) vectors that a score is to be fitted on, as they are.

    Raises:
        UserError: if there are fewer than ``at_least``, or one is not finite.
    """
    kind, count = type(score).__name__, len(vectors)
    if count < at_least:
        images, found = "training" if score.fitted_on == "train" else "validation", f"only {count}" if count else "no"
        raise UserError(f"{kind} cannot be fitted: there is {found} normal {images} image, at least {at_least} needed")
    if not torch.isfinite(vectors).all():
        what = "codes" if score.reads == ("code",) else f"values of {', '.join(score.reads)}"
        raise UserError(f"{kind} cannot be fitted: {what} are not finite (training diverged? lower the learning rate)")
    return vectors


def require_spread(kind: str, vectors: Tensor) -> None:
    """Refuse to fit a spread where there is none.

    Raises:
        UserError: if all (N, D) vectors are the same.
    """
    if (vectors == vectors[0]).all():
        raise UserError(f"{kind} cannot be fitted: it sees the same in every normal image (training collapsed?)")


def in_pieces(vectors: Tensor, at_most: int) -> Sequence[Tensor]:
    """The (B, D) vectors in pieces of ``at_most`` rows, or of one where that is less.

    All in one while a graph is made of a score (`torch.export`): it is for any number of images, so that there is no
    number of pieces yet. The graph takes the memory of a whole batch at once.
    """
    return [vectors] if torch.compiler.is_compiling() else vectors.split(max(1, at_most))


def by_distances(vectors: Tensor, bank: Tensor, reduce: Callable[[Tensor], Tensor]) -> Tensor:
    """What ``reduce`` makes of the squared Euclidean distances to a bank, for so few vectors at a time that they fit.

    One matrix product makes them, so both should lie around the origin: the rounding error grows with the squared
    lengths.

    Args:
        vectors: (B, D).
        bank: (N, D).
        reduce: (b, N) squared distances, which it may overwrite, to (b, ...).
    """
    squares, transposed = bank.square().sum(1), bank.T
    found = []
    for piece in in_pieces(vectors, NUMBERS_AT_ONCE // len(bank)):
        distances = torch.addmm(squares, piece, transposed, alpha=-2).add_(piece.square().sum(1, keepdim=True))
        found.append(reduce(distances.clamp_(min=0)))
    return torch.cat(found)
