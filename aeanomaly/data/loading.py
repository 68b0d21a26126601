"""Which images make up which batch, on which device, and where to go on in the middle of an epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler, SequentialSampler

from aeanomaly.data.table import ImageTable
from aeanomaly.errors import UserError
from aeanomaly.outputs import Batch, chunks_before, folded


class IndexBatches(DistributedSampler[Tensor]):
    """Yields this device's share of every global batch of training images, as a tensor of positions.

    It is a `DistributedSampler` because Lightning leaves those alone. The stock one pads a shard with repeats, which
    corrupts evaluation metrics, and replays epoch 0's order on resuming.

    The order depends on seed and epoch only, so that resuming and the number of devices do not change which images make
    up a global batch. A batch that cannot be shared evenly is trimmed by at most ``world_size - 1`` images, because DDP
    averages gradients over devices with equal weight.

    Args:
        batch_size: of a global batch, at least ``world_size``.
        rank: this device's number among ``world_size``.
        device: where the positions are wanted; one copy for a pass.

    Attributes:
        served: batches of the current pass that an `IndexLoader` has already handed out.
        resume_at: an epoch and the batches served of it: where the next pass goes on, if it is of that epoch.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        world_size: int = 1,
        rank: int = 0,
        device: torch.device | None = None,
    ) -> None:
        DistributedSampler.__init__(self, range(length), world_size, rank, seed=seed)  # type: ignore[arg-type]
        self.length, self.batch_size, self.device = length, batch_size, device
        self.served = 0
        self.resume_at: tuple[int, int] | None = None

    def __len__(self) -> int:
        full, rest = divmod(self.length, self.batch_size)
        return full + (rest >= self.num_replicas)

    def __iter__(self) -> Iterator[Tensor]:
        share = self.shares()
        return map(share, range(self.served, len(self)))

    def shares(self) -> Callable[[int], Tensor]:
        """Start a pass, and return the function from the number of a batch to this device's positions in it."""
        order = self.order().to(self.device)
        resume_at, self.resume_at = self.resume_at, None
        # Another epoch: the checkpoint was written when its epoch was over, possibly before the last batch.
        self.served = resume_at[1] if resume_at is not None and resume_at[0] == self.epoch else 0
        return lambda number: self.batch(order, number)[self.rank :: self.num_replicas]

    def order(self) -> Tensor:
        """(N,) positions of a pass, on the CPU, so that all devices draw alike."""
        # (seed, epoch) mixed so that neighbouring seeds do not share orders.
        generator = torch.Generator().manual_seed(folded((self.seed << 20) + self.epoch))
        return torch.randperm(self.length, generator=generator)

    def batch(self, order: Tensor, number: int) -> Tensor:
        """The positions of a global batch."""
        batch = order[number * self.batch_size : (number + 1) * self.batch_size]
        return batch[: len(batch) - len(batch) % self.num_replicas]


class BatchesInOrder(IndexBatches, SequentialSampler):  # type: ignore[misc]
    """The same for evaluation: every image exactly once over all devices, in the order of the table.

    Every device gets the same number of batches, because DDP synchronises buffers in every forward; its share of a
    short one may be empty. Being a `SequentialSampler`, it is left alone by Lightning's ``overfit_batches``, too.

    Attributes:
        border: number of the image that begins a new batch, even if the batch before it is then short. What a net makes
            of an image differs in the last bits with the number of images beside it: without the border, what it makes
            of the images before would depend on those after it.
    """

    border = 0

    def __len__(self) -> int:
        return sum(math.ceil(length / self.batch_size) for length in (self.border, self.length - self.border))

    def order(self) -> Tensor:
        """(N,) positions, one after the other."""
        return torch.arange(self.length)

    def batch(self, order: Tensor, number: int) -> Tensor:
        """The positions of a global batch, which ends at the border if it comes to it."""
        before = math.ceil(self.border / self.batch_size)
        if number < before:
            return order[number * self.batch_size : min((number + 1) * self.batch_size, self.border)]
        start = self.border + (number - before) * self.batch_size
        return order[start : start + self.batch_size]


class TableChunk:
    """Several batches of a table, each gathered when it is asked for: one that was just made is in the cache.

    No `Sequence`, because Lightning makes a list of those.
    """

    def __init__(self, table: ImageTable, positions: list[Tensor], sampler: IndexBatches) -> None:
        self._table, self._positions, self._sampler = table, positions, sampler
        self._first, sampler.served = sampler.served, sampler.served + len(positions)
        table.announce(*positions)

    def __len__(self) -> int:
        return len(self._positions)

    def __iter__(self) -> Iterator[Batch]:
        for number, index in enumerate(self._positions, self._first + 1):
            self._sampler.served = number
            yield self._table.gather(index)


class IndexLoader(DataLoader[Batch]):
    """A loader of an `ImageTable` by `IndexBatches` that can resume in the middle of an epoch; see `index_loader`."""

    sampler: IndexBatches
    dataset: ImageTable
    chunk_size = 1

    @property
    def batches(self) -> int:
        """Number of batches in an epoch, in chunks or not."""
        return len(self.sampler)

    @property
    def served(self) -> int:
        """How many batches of this epoch were handed out."""
        return self.sampler.served

    def __len__(self) -> int:
        return chunks_before(self.batches, self.batches, self.chunk_size)

    def __iter__(self) -> Any:
        """Batches, or chunks of them. A stock loader would draw a random number for each pass."""
        sampler, batches, size = self.sampler, self.batches, self.chunk_size
        share = sampler.shares()
        while sampler.served < batches:
            first = sampler.served
            # Boundaries do not depend on where a pass starts, so that a resumed one has as many chunks to come.
            end = min(first - first % size + size, batches - 1) if first < batches - 1 else batches
            chunk = TableChunk(self.dataset, [share(number) for number in range(first, end)], sampler)
            yield from [chunk] if size > 1 else chunk

    def state_dict(self) -> dict[str, int]:
        """The epoch, how many of its batches were handed out (0 after the last), and how many there are."""
        return {"epoch": self.sampler.epoch, "served": self.served % max(1, self.batches), "batches": self.batches}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue there when next iterated in that epoch.

        Raises:
            UserError: in the middle of an epoch of another number of batches, of which nobody knows the images served.
        """
        before = state.get("batches", self.batches)  # an older checkpoint does not say
        if state["served"] and before != self.batches:
            raise UserError(
                f"the checkpoint is of the middle of an epoch of {before} batches, which has {self.batches} here: use "
                "the images and the data.batch_size of its run"
            )
        self.sampler.resume_at = (state["epoch"], state["served"])


def index_loader(table: ImageTable, batches: IndexBatches, chunk_size: int = 1) -> IndexLoader:
    """The loader that joins a table and the batches to take from it.

    Its constructor stays that of a `DataLoader`, because Lightning makes some loaders anew. A ``chunk_size`` above 1
    gives `TableChunk` objects of so many batches; see `chunks_before` for their number.
    """
    loader = IndexLoader(table, batch_size=None, sampler=batches)  # the sampler's items are whole batches already
    loader.chunk_size = chunk_size
    return loader
