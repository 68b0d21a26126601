"""What the Projector reads: codes, labels, thumbnails, and one configuration for all of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from aeanomaly.runs.projector import columns, thumbnails, write_projection
from tests.projections import entries, evaluation, rows, tiles


def points(count: int, channels: int = 1, height: int = 6, width: int = 4) -> tuple[Tensor, dict[str, Any], Tensor]:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (count, channels, height, width), generator=generator, dtype=torch.uint8)
    return (
        torch.randn(count, 3, generator=generator),
        {"class": list(range(count)), "kind": ["normal"] * count},
        pictures,
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 4, 10])
def test_the_sprite_is_square_and_holds_every_thumbnail_in_order(tmp_path: Path, count: int, channels: int) -> None:
    code, table, pictures = points(count, channels)
    write_projection(tmp_path, "test", code, table, pictures)
    (entry,) = entries(tmp_path)
    assert list(entry.sprite.single_image_dim) == [4, 6]
    found = tiles(tmp_path / entry.sprite.image_path, entry)
    assert len(found) == math.ceil(math.sqrt(count)) ** 2
    np.testing.assert_array_equal(found[:count], pictures.expand(-1, 3, -1, -1).permute(0, 2, 3, 1))
    assert not found[count:].any()


def test_a_set_of_the_same_name_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    write_projection(tmp_path, "test", *points(4))
    write_projection(tmp_path, "val_epoch_5", *points(3))
    code, table, _ = points(9)
    write_projection(tmp_path, "test", code, table)
    assert [entry.tensor_name for entry in entries(tmp_path)] == ["test", "val_epoch_5"]
    first, second = entries(tmp_path)
    assert list(first.tensor_shape) == [9, 3]
    assert not first.sprite.image_path
    assert len(rows(tmp_path / first.metadata_path)) == 9
    assert second.sprite.image_path == "projector/val_epoch_5/sprite.png"


@pytest.mark.parametrize("size", [1, 2])
def test_a_code_too_small_for_the_projector_gets_zeros(tmp_path: Path, size: int) -> None:
    code, table, _ = points(9)
    write_projection(tmp_path, "test", code[:, :size], table)
    (entry,) = entries(tmp_path)
    assert list(entry.tensor_shape) == [9, 3]
    written = np.loadtxt(tmp_path / entry.tensor_path)
    np.testing.assert_allclose(written[:, :size], code[:, :size], rtol=1e-5)
    assert not written[:, size:].any()


def test_thumbnails_are_shrunk_to_the_longest_side() -> None:
    images = torch.full((2, 3, 90, 60), 0.5)
    assert thumbnails(images, 30).shape == (2, 3, 30, 20)
    assert thumbnails(images, 30).unique().tolist() == [128]
    assert thumbnails(images[:0], 30).shape[:2] == (0, 3)
    assert thumbnails(torch.ones(1, 1, 500, 2), 30).shape == (1, 1, 30, 1)
    kept = thumbnails(torch.tensor([-1.0, math.nan, 0.0, 2.0]).reshape(1, 1, 2, 2), 30)
    assert kept.flatten().tolist() == [0, 0, 0, 255]


def test_columns_are_those_of_the_chosen_rows() -> None:
    assert columns(evaluation(30), torch.tensor([0, 21])) == {
        "class": [0, 1],
        "kind": ["anomaly", "normal"],
        "index": [0, 21],
        "reconstruction": ["0", "21"],
    }
