"""Columns that grow batch by batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from aeanomaly.evaluation.row_buffer import RowBuffer


def batches(sizes: list[int]) -> list[dict[str, Tensor]]:
    draw = torch.Generator().manual_seed(0)
    return [
        {"code": torch.rand(size, 3, generator=draw), "flag": torch.rand(size, generator=draw) > 0.5} for size in sizes
    ]


@pytest.mark.parametrize("sizes", [[5], [4, 0, 3], [0, 2], [0], [3000, 3000, 3000, 7], [10_000, 1]])
def test_all_rows_are_kept_in_order(sizes: list[int]) -> None:
    grown = RowBuffer()
    parts = batches(sizes)
    for part in parts:
        grown.add(part)
    assert len(grown) == sum(sizes)
    for name, column in grown.columns().items():
        assert torch.equal(column, torch.cat([part[name] for part in parts]))
        assert column.dtype == parts[0][name].dtype


def test_what_is_kept_does_not_change_with_the_batch() -> None:
    grown, part = RowBuffer(), {"code": torch.zeros(4)}
    grown.add(part)
    part["code"].fill_(1)
    assert not grown.columns()["code"].any()


def test_memory_is_taken_seldom_and_at_most_twice_what_is_held() -> None:
    grown, places = RowBuffer(), set()
    for number in range(1000):
        grown.add({"index": torch.full((100,), number)})
        places.add(grown.columns()["index"].untyped_storage().nbytes())
    assert len(places) < 10
    assert max(places) <= 2 * 8 * len(grown)


def test_large_rows_take_no_memory_for_rows_that_may_never_come() -> None:
    grown, rows = RowBuffer(), torch.zeros(8, 3, 256, 256)
    grown.add({"image": rows})
    assert grown.columns()["image"].untyped_storage().nbytes() <= max(rows.nbytes, 2**24)


def test_nothing_added_gives_no_columns() -> None:
    assert RowBuffer().columns() == {}
