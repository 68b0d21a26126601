"""The first normal and the first anomalous images of a pass, for callbacks that draw them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from aeanomaly.outputs import Batch, Evaluation


class _Kept(Protocol):
    @property
    def is_anomaly(self) -> bool: ...

    @property
    def index(self) -> int: ...


AnyKept = TypeVar("AnyKept", bound=_Kept)


def rows_to_keep(kept: Iterable[_Kept], batch: Batch, count: int) -> list[int]:
    """Rows of a batch that are still needed to have ``count`` images of each kind, as far as it has them."""
    kinds, rows = [image.is_anomaly for image in kept], []
    for kind in (False, True):
        rows += (batch.is_anomaly == kind).nonzero().flatten()[: count - kinds.count(kind)].tolist()
    return rows


def in_order(kept: Sequence[AnyKept], evaluation: Evaluation) -> tuple[list[AnyKept], Tensor]:
    """What was kept, normal images first, and the (n,) rows of the same images in an evaluation."""
    ordered = sorted(kept, key=lambda image: image.is_anomaly)
    # Rows of an evaluation are ordered by index.
    return ordered, torch.searchsorted(evaluation.index, torch.tensor([image.index for image in ordered]))
