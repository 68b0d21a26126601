"""The structures that data, models, scores, module and callbacks hand to each other.

Shape legend, used by every docstring of the package:

- ``B`` images in a batch, ``N`` images in a whole evaluation (after gathering over all devices)
- ``C, H, W`` channels, height and width of an image
- ``D`` size of the code, ``K`` number of clusters
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from torch import Tensor
from typing_extensions import Self


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
    if served < batches - 1:
        return served // size
    return -(-max(0, batches - 1) // size) + served - max(0, batches - 1)


def global_seed() -> int | None:
    """The seed that Lightning's ``seed_everything`` set, here or in the process that started this one; None if none."""
    seed = os.environ.get("PL_GLOBAL_SEED")
    return int(seed) if seed is not None else None


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


@dataclass(repr=False)  # the usual text would read fields that a lighter output does not have
class Output:
    """What an autoencoder makes of a batch of images.

    A lighter output, made by `only`, holds some of the fields; reading another one raises an `AttributeError`.

    Attributes:
        code: (B, D), or (B, C', H', W') if codes are spatial.
        reconstruction: of the shape of ``target``.
        target: (B, ...) what the reconstruction is compared with: the image itself, or fixed features of it.
        features: inner activations of the encoder by name, each (B, ...), for nets that offer them.
        again: what the net makes of its own reconstruction, for scores that ask for it (RaPP, Kim et al., 2020).
    """

    code: Tensor
    reconstruction: Tensor
    target: Tensor
    features: dict[str, Tensor] = field(default_factory=dict)
    again: Output | None = None

    def __getattr__(self, name: str) -> Tensor:
        # Python asks here only for a field that is missing.
        raise AttributeError(f"this output carries no {name!r}: a score must name what it needs in `reads`")

    def only(self, names: Iterable[str]) -> Output:
        """A lighter output of the named fields, such as ``code``, ``features.layer1`` or ``again.code``."""
        tensors, names = self.tensors(), list(names)
        for name in names:
            if name not in tensors:
                known = [known for known in tensors if "features." in known]
                hint = f"; the net offers {known}" if "features." in name else ""
                raise AttributeError(
                    f"this output carries no {name!r}: a score must name what it needs in `reads`{hint}"
                )
        return Output.from_tensors({name: tensors[name] for name in names})

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the output, by the names that `only` takes."""
        found: dict[str, Tensor] = {}
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                found[name] = value
            elif value is not None:
                inner = value.tensors() if isinstance(value, Output) else value
                found |= {f"{name}.{key}": tensor for key, tensor in inner.items()}
        return found

    def float(self) -> Output:
        """The same in float32, because scores and metrics are never computed at reduced precision."""
        return Output.from_tensors({name: value.float() for name, value in self.tensors().items()})

    def split(self, size: int) -> list[Output]:
        """The same images in outputs of at most ``size`` images each."""
        pieces = {name: value.split(size) for name, value in self.tensors().items()}
        return [
            Output.from_tensors(dict(zip(pieces, rows, strict=True))) for rows in zip(*pieces.values(), strict=True)
        ]

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor]) -> Output:
        """The inverse of `tensors`."""
        output = object.__new__(Output)
        groups: dict[str, dict[str, Tensor]] = {"features": {}, "again": {}}
        for name, value in tensors.items():
            group, dot, rest = name.partition(".")
            if dot:
                groups[group][rest] = value
            else:
                setattr(output, name, value)
        output.features = groups["features"]
        output.again = Output.from_tensors(groups["again"]) if groups["again"] else None
        return output


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
