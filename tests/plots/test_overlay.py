"""Heat over a picture: what has none is as it was."""

from __future__ import annotations

import numpy as np
import torch

from aeanomaly.plots.overlay import overlay


def test_without_heat_a_picture_is_as_it_was() -> None:
    grey, colours = torch.tensor([[[0, 77], [200, 255]]], dtype=torch.uint8), torch.rand(3, 2, 2)
    drawn = overlay(grey, torch.zeros(2, 2))
    assert (drawn == grey[0].numpy()[..., None]).all()
    assert drawn.shape == (2, 2, 3)
    assert np.abs(overlay(colours, torch.zeros(2, 2)) / 255 - colours.permute(1, 2, 0).numpy()).max() <= 0.5 / 255


def test_heat_goes_over_blue_and_green_to_red_and_the_picture_shows_through() -> None:
    heat = torch.tensor([[0.15, 0.5, 1.0]])
    blue, green, red = overlay(torch.full((1, 1, 3), 128, dtype=torch.uint8), heat)[0].tolist()
    assert blue.index(max(blue)) == 2
    assert green.index(max(green)) == 1
    assert red.index(max(red)) == 0
    dark, bright = overlay(torch.tensor([[[0.2, 0.8]]]), torch.ones(1, 2))[0].astype(int)
    assert (bright - dark).min() > 40
