"""The structures that data, models, scores, module and callbacks hand to each other.

Shape legend, used by every docstring of the package:

- ``B`` images in a batch, ``N`` images in a whole evaluation (after gathering over all devices)
- ``C, H, W`` channels, height and width of an image
- ``D`` size of the code, ``K`` number of clusters
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from torch import Tensor


class Batch(NamedTuple):
    """What every dataloader of the package yields."""

    image: Tensor  # (B, C, H, W) float32 in [0, 1]
    label: Tensor  # (B,) int64, the class of the image; no training step reads it
    is_anomaly: Tensor  # (B,) bool
    position: Tensor  # (B,) int64, of the image in its split


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


@dataclass
class Output:
    """What an autoencoder makes of a batch of images.

    ``target`` is what the reconstruction is compared with: the image itself, or fixed features of it. ``features``
    holds named inner activations of the encoder, for nets that offer them.
    """

    code: Tensor  # (B, D)
    reconstruction: Tensor  # like target
    target: Tensor  # (B, ...)
    features: dict[str, Tensor] = field(default_factory=dict)  # each (B, ...)

    def __getattr__(self, name: str) -> Tensor:
        # Only reached for a field that `only` left out.
        raise AttributeError(f"this output carries no {name!r}: a score must name what it needs in `reads`")

    def only(self, names: Iterable[str]) -> Output:
        """A lighter output with only the named fields (``code``, ``features.layer1``, ...); others raise when read."""
        light = object.__new__(Output)
        light.features = {}
        for name in names:
            if name.startswith("features."):
                key = name.removeprefix("features.")
                if key not in self.features:
                    raise AttributeError(
                        f"this net offers no inner features named {key!r}, only {sorted(self.features)}"
                    )
                light.features[key] = self.features[key]
            else:
                setattr(light, name, getattr(self, name))
        return light

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor carried, by the names that `only` takes."""
        fields = {name: value for name, value in vars(self).items() if name != "features"}
        return fields | {f"features.{name}": value for name, value in self.features.items()}

    def float(self) -> Output:
        """The same in float32, because scores and metrics are never computed at reduced precision."""
        return Output.from_tensors({name: value.float() for name, value in self.tensors().items()})

    @staticmethod
    def from_tensors(tensors: dict[str, Tensor]) -> Output:
        """The inverse of `tensors`."""
        output = object.__new__(Output)
        output.features = {}
        for name, value in tensors.items():
            if name.startswith("features."):
                output.features[name.removeprefix("features.")] = value
            else:
                setattr(output, name, value)
        return output


@dataclass
class Evaluation:
    """All images of a validation, test or prediction pass, once each, gathered over all devices, on the CPU.

    Rows are ordered by ``index``, so they do not depend on the number of devices.
    """

    scores: dict[str, Tensor]  # each (N,) float32, higher = more anomalous
    thresholds: dict[str, dict[str, float]]  # score name -> threshold name -> value
    code: Tensor  # (N, D) float32
    label: Tensor  # (N,) int64
    is_anomaly: Tensor  # (N,) bool
    index: Tensor  # (N,) int64

    def normal(self, score: str) -> Tensor:
        """Scores of the normal images, (N normal,)."""
        return self.scores[score][~self.is_anomaly]

    def anomalous(self, score: str) -> Tensor:
        """Scores of the anomalous images, (N anomalous,)."""
        return self.scores[score][self.is_anomaly]
