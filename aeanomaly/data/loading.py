"""Which images make up which batch, on which device, and where to go on in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

from aeanomaly.data.table import ImageTable
from aeanomaly.outputs import Batch


class IndexBatches(DistributedSampler[Tensor]):
    """Yields this device's share of every global batch, as a tensor of positions.

    It is a `DistributedSampler` because Lightning leaves those alone. The stock one pads a shard with repeats, which
    corrupts evaluation metrics, and replays epoch 0's order on resuming.

    Shuffled (training): the order depends on seed and epoch only, so that resuming and the number of devices do not
    change which images make up a global batch. A batch that cannot be shared evenly is trimmed by at most
    ``world_size - 1`` images, because DDP averages gradients over devices with equal weight.

    In order (evaluation): every image exactly once over all devices, and the same number of batches on each of them;
    a device may get an empty last batch. Equal counts matter: DDP synchronises buffers in every forward.

    Args:
        length: number of images.
        batch_size: size of a global batch, at least ``world_size``.
        shuffle: the first or the second kind above.
        seed: of the order.
        world_size: number of devices.
        rank: this device's number.
        together: more than 1 yields tuples of so many batches, the last one of a pass possibly shorter.
        device: where the positions are wanted; one copy for a pass.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        shuffle: bool,
        seed: int,
        world_size: int = 1,
        rank: int = 0,
        together: int = 1,
        device: torch.device | None = None,
    ) -> None:
        super().__init__(range(length), num_replicas=world_size, rank=rank, shuffle=shuffle, seed=seed)  # type: ignore[arg-type]
        self.length, self.batch_size, self.together, self.device = length, batch_size, together, device
        self.served = 0  # batches of the current pass already handed out
        self._resume_at: tuple[int, int] | None = None  # (epoch, batches already served), for the next pass only

    @property
    def batches(self) -> int:
        """Number of batches in a pass."""
        full, rest = divmod(self.length, self.batch_size)
        return full + (rest >= self.num_replicas if self.shuffle else rest > 0)

    def __len__(self) -> int:
        return -(-self.batches // self.together)

    def __iter__(self) -> Iterator[Tensor | tuple[Tensor, ...]]:  # type: ignore[override]
        if self.shuffle:
            # (seed, epoch) mixed so that neighbouring seeds do not share orders.
            generator = torch.Generator().manual_seed((self.seed << 20) + self.epoch)
            order = torch.randperm(self.length, generator=generator)  # on the CPU, so that all devices draw alike
        else:
            order = torch.arange(self.length)
        order = order.to(self.device)
        resume_at, self._resume_at = self._resume_at, None
        # Another epoch: the checkpoint was written when its epoch was over, possibly before the last batch.
        first = resume_at[1] if resume_at is not None and resume_at[0] == self.epoch else 0
        while first < self.batches:
            # Boundaries do not depend on where the pass starts: a resumed one is back in step after the first tuple.
            end = min(first - first % self.together + self.together, self.batches)
            shares = tuple(self._share(order, number) for number in range(first, end))
            self.served = first = end
            yield shares if self.together > 1 else shares[0]

    def _share(self, order: Tensor, number: int) -> Tensor:
        batch = order[number * self.batch_size : (number + 1) * self.batch_size]
        if self.shuffle:
            batch = batch[: len(batch) - len(batch) % self.num_replicas]
        return batch[self.rank :: self.num_replicas]

    @property
    def resumes_after(self) -> int:
        """Batches that the next pass leaves out, if it is of the epoch given to `resume`."""
        return self._resume_at[1] if self._resume_at is not None else 0

    def resume(self, epoch: int, served: int) -> None:
        """Have the next pass, if it is of that epoch, start after the ``served`` batches already seen."""
        self._resume_at = (epoch, served)


class IndexLoader(DataLoader[Batch]):
    """A `DataLoader` over an `ImageTable` and `IndexBatches` that can resume in the middle of an epoch."""

    def state_dict(self) -> dict[str, int]:
        """The epoch and how many of its batches were handed out."""
        sampler = self.sampler
        assert isinstance(sampler, IndexBatches)
        return {"epoch": sampler.epoch, "served": sampler.served % max(1, sampler.batches)}

    @property
    def batches(self) -> int:
        """Number of batches in a pass."""
        assert isinstance(self.sampler, IndexBatches)
        return self.sampler.batches

    @property
    def together(self) -> int:
        """How many of them an item has."""
        assert isinstance(self.sampler, IndexBatches)
        return self.sampler.together

    def calls_done(self) -> int:
        """How many items of a pass come before the place that `load_state_dict` set; all, if that is its end."""
        assert isinstance(self.sampler, IndexBatches)
        served = self.sampler.resumes_after
        return served // self.sampler.together if served else len(self.sampler)

    def give_back(self, batches: int) -> None:
        """Account for batches of the latest item that will not be trained on: resuming starts with them."""
        assert isinstance(self.sampler, IndexBatches)
        self.sampler.served -= batches

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue there when next iterated in that epoch."""
        assert isinstance(self.sampler, IndexBatches)
        self.sampler.resume(state["epoch"], state["served"])


def _as_is(batch: Any) -> Any:
    return batch


def index_loader(table: ImageTable, batches: IndexBatches) -> IndexLoader:
    """The loader that joins a table and the batches to take from it."""
    # batch_size=None: the sampler's items are whole batches already.
    return IndexLoader(table, batch_size=None, sampler=batches, collate_fn=_as_is)
