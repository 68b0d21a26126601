"""Images that stay uint8 where they are, read a batch at a time.

There is no per-image Python and no worker process: a batch is one gather from a tensor and one conversion, which for
images of this size is faster than handing them between processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, overload

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from aeanomaly.outputs import Batch

Item = TypeVar("Item")


class Arrays(NamedTuple):
    """A labelled data set, in memory or mapped."""

    train_images: Tensor  # (N, C, H, W) uint8
    train_labels: Tensor  # (N,) int64
    test_images: Tensor
    test_labels: Tensor
    test_masks: Tensor | None = None  # (N, H, W) uint8, 1 where a test image is anomalous
    class_names: Sequence[str] | None = None  # of class 0, 1, ...
    paths: Mapping[str, Sequence[str]] | None = None  # the file of each image of ``train`` and of ``test``
    left_out: Tensor | None = None  # (N,) bool, training images that are neither trained, validated nor tested on


class ImageTable(Dataset[Batch]):
    """Some of the images of an array, and their labels, read a batch of positions at a time.

    The array is shared, not copied: training, validation and contamination are rows of one array, which may be larger
    than memory (a mapped file).

    Args:
        images: (M, C, H, W) uint8.
        labels: (N,) int64 classes.
        is_anomaly: (N,) bool.
        rows: (N,) int64, where in ``images`` each image is; None if N = M and they are all meant, in order.
        will_read: told the (B,) rows of ``images`` that are needed next, where fetching them takes preparation.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        is_anomaly: Tensor,
        rows: Tensor | None = None,
        will_read: Callable[[Tensor], None] | None = None,
    ) -> None:
        self._images, self._rows, self._will_read = images, rows, will_read
        self.labels, self.is_anomaly = labels, is_anomaly

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device, arrays: dict[tuple[int, torch.device], Tensor]) -> ImageTable | None:
        """The same table on a GPU, where a batch is gathered without a copy from the CPU; None if there is no room.

        ``arrays`` are copies by the address of the original and their device, which tables of one array share.
        """
        key = (self._images.data_ptr(), device)
        if key not in arrays:
            free, _ = torch.cuda.mem_get_info(device)
            if 2 * self._images.nbytes > free:  # leave the other half to the net
                return None
            arrays[key] = self._images.to(device)
        rows = self._rows.to(device) if self._rows is not None else None
        return ImageTable(arrays[key], self.labels.to(device), self.is_anomaly.to(device), rows)

    @property
    def device(self) -> torch.device:
        """Where the images are, and positions must be."""
        return self.labels.device

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(C, H, W)."""
        return tuple(self._images.shape[1:])

    @property
    def images(self) -> Tensor:
        """The (N, C, H, W) uint8 images, copied if they are not the whole array."""
        return self._images if self._rows is None else self._images.index_select(0, self._rows)

    def __getitem__(self, index: Tensor) -> Batch:
        """The images at the (B,) positions, as float32 in [0, 1]."""
        self.announce(index)
        return self.gather(index)

    def announce(self, *indices: Tensor) -> None:
        """Say which positions are gathered next, for images that take preparation to fetch."""
        if self._will_read is not None:
            self._will_read(self._rows_of(torch.cat(indices)))

    def gather(self, index: Tensor) -> Batch:
        """The batch of the (B,) positions, unannounced."""
        return Batch(
            image=self._images.index_select(0, self._rows_of(index)) / 255,  # twice as fast as indexing with a tensor
            label=self.labels.index_select(0, index),
            is_anomaly=self.is_anomaly.index_select(0, index),
            index=index,
        )

    def _rows_of(self, index: Tensor) -> Tensor:
        return index if self._rows is None else self._rows.index_select(0, index)


class Rows(Sequence[Item]):
    """Some items of a sequence, looked up when asked for.

    Args:
        items: (M,) of them, or of what ``read`` makes one of.
        rows: (N,) int64, where in ``items`` each is; None for all of them, in order.
        read: what makes an item of what stands in ``items``.
    """

    def __init__(
        self,
        items: Sequence[Any] | np.ndarray[Any, Any],
        rows: Tensor | None = None,
        read: Callable[[Any], Item] | None = None,
    ) -> None:
        self._items, self._rows, self._read = items, rows, read

    def __len__(self) -> int:
        return len(self._items) if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...

    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        item = self._items[index if self._rows is None else int(self._rows[index])]
        found: Item = item if self._read is None else self._read(item)
        return found
