"""The structures that data, models, scores, module and callbacks hand to each other.

Shape legend, used by every docstring of the package:

- ``B`` images in a batch, ``N`` images in a whole evaluation (after gathering over all devices)
- ``C, H, W`` channels, height and width of an image
- ``D`` size of the code, ``K`` number of clusters
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from torch import Tensor
from typing_extensions import Self

from aeanomaly.errors import UserError

PATH = "path"  # the file of an image, where images have files
IMAGE_COLUMNS = ("index", "class", "is_anomaly", PATH)  # beside the scores in a table: no score has such a name


class Batch(NamedTuple):
    """What every dataloader of the package yields."""

    image: Tensor  # (B, C, H, W) float32 in [0, 1]
    label: Tensor  # (B,) int64, the class of the image; no training step reads it
    is_anomaly: Tensor  # (B,) bool
    index: Tensor  # type: ignore[assignment]  # (B,) int64, of the image in its split; hides the method of tuples


class Chunk(Protocol):
    """Several batches that one call of the training loop trains on, one after the other.

    Whoever stops before the last one leaves the rest to the next chunk of the epoch.
    """

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Batch]: ...


def chunks_before(served: int, batches: int, size: int) -> int:
    """How many chunks hold the first ``served`` of an epoch's batches.

    The last batch of an epoch is a chunk of its own: a chunk that is left early is then never the last one, which
    Lightning takes for the end of the epoch.

    Args:
        served: from 0 to ``batches``; that number gives the chunks of a whole epoch.
        batches: number of batches in an epoch.
        size: batches in a chunk at most.
    """
    before_last = max(0, batches - 1)
    return served // size if served < before_last else math.ceil(before_last / size) + served - before_last


def global_seed() -> int | None:
    """The seed that Lightning's ``seed_everything`` set, here or in the process that started this one; None if none."""
    seed = os.environ.get("PL_GLOBAL_SEED")
    return int(seed) if seed is not None else None


def folded(seed: int) -> int:
    """A seed of any size as one of 32 bits, which is all that torch's generator on a CPU looks at.

    Seeds from 0 to 2**32 - 1 stay. Of others that generator would read the lowest 32 bits, so that seeds which differ
    in higher ones would draw the same numbers; all bits of these are mixed.
    """
    if 0 <= seed < 2**32:
        return seed
    return int(np.random.SeedSequence([int(seed < 0), abs(seed)]).generate_state(1)[0])


class Described:
    """Remembers the arguments it was made with, so that a checkpoint can say how to make it again.

    Attributes:
        arguments: positional and keyword arguments of the constructor.
    """

    arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep the arguments."""
        instance = super().__new__(cls)
        instance.__dict__["arguments"] = (args, kwargs)  # past the checks of nn.Module, which is not initialised yet
        return instance


class MissingFieldError(UserError, AttributeError):
    """An output does not have what a score reads: a user's mistake, and what Python expects of a missing attribute."""


class Output:
    """What an autoencoder makes of a batch of images: tensors with a row per image, by name.

    The names of features are such as ``features.layer1``, those of another output in `again` such as ``again.code``. A
    lighter output, made by `only`, holds some of the tensors; reading another one raises a `MissingFieldError`.

    Attributes:
        code: (B, D), or (B, C', H', W') if codes are spatial.
        reconstruction: of the shape of ``target``.
        target: (B, ...) what the reconstruction is compared with: the image itself, or fixed features of it.
    """

    code: Tensor
    reconstruction: Tensor
    target: Tensor

    def __init__(
        self, code: Tensor, reconstruction: Tensor, target: Tensor, features: Mapping[str, Tensor] | None = None
    ) -> None:
        self.code, self.reconstruction, self.target = code, reconstruction, target
        if features:
            vars(self).update({f"features.{name}": value for name, value in features.items()})

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor]) -> Output:
        """The inverse of `tensors`."""
        output = object.__new__(Output)
        vars(output).update(tensors)
        return output

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the output, by name."""
        return dict(vars(self))

    def __getattr__(self, name: str) -> Tensor:
        # Python asks here only for a tensor that is missing.
        known = [known for known in vars(self) if "features." in known]
        hint = f"; the net offers {known}" if "features." in name else ""
        raise MissingFieldError(f"this output carries no {name!r}: a score must name what it needs in `reads`{hint}")

    @property
    def features(self) -> dict[str, Tensor]:
        """Inner activations of the encoder by name, each (B, ...), for nets that offer them."""
        return self._group("features.")

    @property
    def again(self) -> Output | None:
        """What the net makes of its own reconstruction, for scores that ask for it (RaPP, Kim et al., 2020)."""
        tensors = self._group("again.")
        return Output.from_tensors(tensors) if tensors else None

    def with_again(self, again: Output) -> Output:
        """The same, with what the net makes of the reconstruction."""
        return self.extended({f"again.{name}": value for name, value in vars(again).items()})

    def extended(self, tensors: Mapping[str, Tensor]) -> Output:
        """The same, with further tensors by name."""
        return Output.from_tensors(vars(self) | dict(tensors))

    def _group(self, prefix: str) -> dict[str, Tensor]:
        return {name[len(prefix) :]: value for name, value in vars(self).items() if name.startswith(prefix)}

    def only(self, names: Iterable[str]) -> Output:
        """A lighter output of the named tensors, such as ``code``, ``features.layer1`` or ``again.code``."""
        tensors = self.tensors()
        return Output.from_tensors(
            {name: tensors[name] if name in tensors else self.__getattr__(name) for name in names}
        )

    def float(self) -> Output:
        """The same in float32, because scores and metrics are never computed at reduced precision."""
        return Output.from_tensors({name: value.float() for name, value in vars(self).items()})

    def split(self, sizes: int | list[int]) -> list[Output]:
        """The same images in outputs of so many images each, one number for each or one for all but the last."""
        pieces = [value.split(sizes) for value in vars(self).values()]
        return [Output.from_tensors(dict(zip(vars(self), rows, strict=True))) for rows in zip(*pieces, strict=True)]


@dataclass
class Evaluation:
    """All images of a validation, test or prediction pass, once each, gathered over all devices, on the CPU.

    Rows are ordered by ``index``, so they do not depend on the number of devices. A score that was not fitted in this
    pass, because it waits for a better epoch or for the end of training, is not in it.

    Attributes:
        scores: (N,) float32 each, by name of the score; higher = more anomalous.
        thresholds: value by name of the threshold, by name of the score; a threshold that is not known yet is left out.
        metrics: value by `MetricName.column`, such as ``auroc`` or ``normal_accuracy@alarm5``, by name of the score.
        code: (N, D) float32; spatial codes are flattened.
        label: (N,) int64, the class.
        is_anomaly: (N,) bool.
        index: (N,) int64, of the image in its split.
    """

    scores: dict[str, Tensor]
    thresholds: dict[str, dict[str, float]]
    code: Tensor
    label: Tensor
    is_anomaly: Tensor
    index: Tensor
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)

    def normal(self, score: str) -> Tensor:
        """Scores of the normal images, (N normal,)."""
        return self.scores[score][~self.is_anomaly]

    def anomalous(self, score: str) -> Tensor:
        """Scores of the anomalous images, (N anomalous,)."""
        return self.scores[score][self.is_anomaly]
