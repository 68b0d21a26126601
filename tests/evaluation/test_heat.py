"""Maps of different pictures on one scale, which held-out normal scores set."""

from __future__ import annotations

import pytest
import torch

from aeanomaly.evaluation.heat import heat, heat_scale

NORMAL = torch.arange(1, 100).float()  # the median is 50, and 95 is the 95th of 99


def test_the_scale_is_that_of_normal_scores() -> None:
    assert heat_scale(NORMAL) == (50, 95, 140)
    begin, middle, end = heat_scale(torch.tensor([2.0]))  # one says nothing of how they scatter
    assert begin == 2 < middle < end


def test_the_hottest_place_stands_for_the_score() -> None:
    """Whatever the unit of the map is; a usual score has no heat, and one beyond the scale reaches its end only."""
    maps = torch.tensor([[4.0, 2.0], [0.0, 3.0]]).expand(5, 2, 2) * torch.tensor([1.0, 7, 1, 1, 1]).view(5, 1, 1)
    found = heat(maps, torch.tensor([95.0, 95, 40, 140, 400]), NORMAL)
    assert found[:, 0, 0].tolist() == pytest.approx([0.5, 0.5, 0, 1, 1])
    assert torch.equal(found[0], found[1])
    assert not found[2].any()
    assert found[3, 1, 1] == pytest.approx((0.75 * 140 - 50) / 90)
    assert found[4, 0, 1] == pytest.approx((200 - 50) / (400 - 50))  # not red everywhere


def test_below_zero_differences_count() -> None:
    found = heat(torch.tensor([[[-3.0, -12.0]]]), torch.tensor([-20.0]), -NORMAL.flip(0))
    assert heat_scale(-NORMAL.flip(0)) == (-50, -5, 40)
    assert found.flatten().tolist() == pytest.approx([30 / 90, 21 / 90])


def test_what_is_no_number_and_what_is_nothing_has_no_heat() -> None:
    maps = torch.stack([torch.full((2, 2), torch.nan), torch.zeros(2, 2)])
    assert not heat(maps, torch.tensor([torch.nan, 0.0]), NORMAL).any()


def test_what_is_infinite_is_hot() -> None:
    """As of a score that is very high; NaN still has no heat."""
    maps = torch.tensor([[[4.0, 2.0]], [[torch.inf, 2.0]], [[torch.nan, 2.0]]])
    found = heat(maps, torch.tensor([torch.inf, torch.inf, torch.nan]), NORMAL)
    assert found.flatten().tolist() == [1, 0.5, 1, 0, 0, 0]
    assert heat(torch.tensor([[[-3.0, -12.0]]]), torch.tensor([torch.inf]), NORMAL).tolist() == [[[1, 1]]]
    assert not heat(maps[:1], torch.tensor([-torch.inf]), NORMAL).any()
