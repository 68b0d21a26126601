"""Batches by index: covering, sharing among devices, order and resuming."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from aeanomaly.data.loading import BatchesInOrder, IndexBatches, IndexLoader, index_loader
from aeanomaly.data.table import ImageTable
from aeanomaly.outputs import chunks_before


def shards(length: int, batch_size: int, shuffle: bool, world_size: int, epoch: int = 0) -> list[list[list[int]]]:
    """Positions by rank and batch."""
    found = []
    for rank in range(world_size):
        kind = IndexBatches if shuffle else BatchesInOrder
        batches = kind(length, batch_size, seed=9, world_size=world_size, rank=rank)
        batches.set_epoch(epoch)
        found.append([batch.tolist() for batch in batches])
        assert len(found[-1]) == len(batches)
    return found


def order(seed: int, epoch: int) -> list[int]:
    """One device's whole shuffled order."""
    batches = IndexBatches(50, 8, seed, world_size=1, rank=0)
    batches.set_epoch(epoch)
    return torch.cat(list(batches)).tolist()


def table(length: int) -> ImageTable:
    images = torch.arange(length, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).contiguous()
    return ImageTable(images, torch.arange(length) % 10, torch.arange(length) % 10 == 0)


def loader(shuffle: bool = True, epoch: int = 0) -> IndexLoader:
    """Seven batches of 50 images."""
    batches = (IndexBatches if shuffle else BatchesInOrder)(50, 8, seed=9, world_size=1, rank=0)
    batches.set_epoch(epoch)
    return index_loader(table(50), batches)


def positions(of: IndexLoader) -> list[list[int]]:
    return [batch.index.tolist() for batch in of]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize(("length", "batch_size"), [(50, 8), (48, 8), (49, 8), (51, 4), (3, 8), (1, 4)])
def test_in_order_every_image_comes_once_in_equally_many_batches(world_size: int, length: int, batch_size: int) -> None:
    found = shards(length, batch_size, False, world_size)
    assert sorted(position for rank in found for batch in rank for position in batch) == list(range(length))
    assert len({len(rank) for rank in found}) == 1


def test_a_device_without_images_gets_an_empty_batch() -> None:
    assert shards(9, 8, False, world_size=4) == [[[0, 4], [8]], [[1, 5], []], [[2, 6], []], [[3, 7], []]]


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize(("border", "length"), [(0, 20), (11, 20), (16, 20), (3, 20), (20, 20), (19, 20)])
def test_batches_before_a_border_do_not_depend_on_what_comes_after(world_size: int, border: int, length: int) -> None:
    def of(length: int) -> list[list[list[int]]]:
        found = []
        for rank in range(world_size):
            batches = BatchesInOrder(length, 8, seed=9, world_size=world_size, rank=rank)
            batches.border = border
            found.append([positions.tolist() for positions in batches])
            assert len(batches) == len(found[-1])
        return found

    whole, alone = of(length), of(border)
    for found, expected in zip(whole, alone, strict=True):
        assert found[: len(expected)] == expected
    assert sorted(position for rank in whole for batch in rank for position in batch) == list(range(length))
    assert len({len(rank) for rank in whole}) == 1


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize(("length", "batch_size"), [(50, 8), (48, 8), (49, 8), (51, 12), (3, 8)])
def test_shuffled_global_batches_do_not_depend_on_the_number_of_devices(
    world_size: int, length: int, batch_size: int
) -> None:
    alone = shards(length, batch_size, True, 1, epoch=2)[0]
    found = shards(length, batch_size, True, world_size, epoch=2)
    # Only a last batch that cannot be shared evenly is trimmed, by less than one image for each device.
    expected = [set(batch[: len(batch) - len(batch) % world_size]) for batch in alone]
    assert [set().union(*together) for together in zip(*found, strict=True)] == [batch for batch in expected if batch]
    assert all(len({len(batch) for batch in together}) == 1 for together in zip(*found, strict=True))


def test_shuffled_order_is_a_permutation_given_by_seed_and_epoch() -> None:
    orders = [order(seed, epoch) for seed in (0, 1, 9) for epoch in (0, 1, 2)]
    assert all(sorted(found) == list(range(50)) for found in orders)
    assert len({tuple(found) for found in orders}) == len(orders)
    assert order(9, 2) == orders[-1]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("done", [1, 3, 6])
def test_a_resumed_epoch_has_the_remaining_batches_and_the_next_is_whole(shuffle: bool, done: int) -> None:
    interrupted = loader(shuffle, epoch=4)
    iterator = iter(interrupted)
    for _ in range(done):
        next(iterator)
    resumed = loader(shuffle, epoch=4)
    resumed.load_state_dict(interrupted.state_dict())
    assert positions(resumed) == positions(loader(shuffle, epoch=4))[done:]
    assert isinstance(resumed.sampler, IndexBatches)
    resumed.sampler.set_epoch(5)
    assert positions(resumed) == positions(loader(shuffle, epoch=5))


@pytest.mark.parametrize("done", [0, 7])
def test_a_state_from_between_epochs_starts_a_whole_epoch(done: int) -> None:
    finished, iterator = loader(), None
    for _ in range(done):
        iterator = iterator or iter(finished)
        next(iterator)  # all batches are out, but the iterator does not know yet that it has ended
    resumed = loader()
    resumed.load_state_dict(finished.state_dict())
    assert len(positions(resumed)) == 7


@pytest.mark.parametrize("size", [2, 3, 6, 7, 50])
@pytest.mark.parametrize("done", range(8))
def test_a_chunked_epoch_goes_on_anywhere_with_as_many_chunks_as_are_said_to_be_left(size: int, done: int) -> None:
    whole, resumed = positions(loader(epoch=4)), loader(epoch=4)
    resumed.chunk_size = size
    resumed.load_state_dict({"epoch": 4, "served": done % 7})
    chunks: Any = [[batch.index.tolist() for batch in chunk] for chunk in resumed]
    assert [batch for chunk in chunks for batch in chunk] == whole[done % 7 :]
    assert len(chunks) == len(resumed) - chunks_before(done % 7, 7, size)
    assert len(chunks[-1]) == 1
    assert max(map(len, chunks)) <= size
    assert chunks_before(7, 7, size) == len(resumed)


def test_batches_that_a_chunk_was_left_with_are_the_next_chunk() -> None:
    left_early = loader(epoch=4)
    left_early.chunk_size = 4
    found: list[list[int]] = []
    for number, chunk in enumerate(left_early):
        for batch in chunk:  # type: ignore[union-attr]
            found.append(batch.index.tolist())
            if number == 0 and len(found) == 3:
                assert left_early.state_dict()["served"] == 3
                break
    assert found == positions(loader(epoch=4))


def test_a_pass_that_was_given_up_does_not_shorten_the_next() -> None:
    # As Lightning does after its sanity check, or with limit_val_batches.
    given_up = loader(shuffle=False)
    next(iter(given_up))
    assert positions(given_up) == positions(loader(shuffle=False))


def test_images_stay_uint8_in_memory_and_come_as_float32_from_0_to_1() -> None:
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1)
    kept = ImageTable(images, torch.tensor([4, 5, 6]), torch.tensor([False, True, False]))
    batch = kept[torch.tensor([2, 0, 1, 1])]
    assert batch.image.dtype == torch.float32
    torch.testing.assert_close(batch.image.flatten(), torch.tensor([1.0, 0.0, 0.2, 0.2]))
    assert batch.label.tolist() == [6, 4, 5, 5]
    assert batch.is_anomaly.tolist() == [False, False, True, True]
    assert batch.index.tolist() == [2, 0, 1, 1]
    assert kept.images.dtype == torch.uint8
    assert kept.images.flatten().tolist() == [0, 51, 255]
