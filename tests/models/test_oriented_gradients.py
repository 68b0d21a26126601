"""The front end against its formula written out, and what it can and cannot see."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.models.oriented_gradients import OrientedGradients


def images(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def windows(size: int, grid: int) -> NDArray[np.float64]:
    rows = []
    for place in range(grid):
        centre = (place + 0.5) * size / grid
        row = [math.exp(-0.5 * ((pixel + 0.5 - centre) / (size / 14)) ** 2) for pixel in range(size)]
        rows.append([value / sum(row) for value in row])
    return np.array(rows)


def energies(image: NDArray[np.float64], grid: int, orientations: int = 8) -> list[NDArray[np.float64]]:
    """The formula of the docstring for an image of one colour, with scipy's Sobel filter."""
    across, down = (ndimage.sobel(image, axis=axis, mode="nearest") / 8 for axis in (1, 0))
    rows, columns = windows(image.shape[0], grid), windows(image.shape[1], grid)
    found = []
    for number in range(orientations):
        angle = 2 * math.pi * number / orientations
        along = np.maximum(-across * math.cos(angle) - down * math.sin(angle), 0)
        energy = along**4 / (across**2 + down**2 + 1e-8) ** 1.5
        found.append(np.sqrt(rows @ energy @ columns.T + 1e-8))
    return found


@pytest.mark.parametrize(("orientations", "grid"), [(8, 9), (5, 4)])
def test_one_scale_is_the_formula_written_out(orientations: int, grid: int) -> None:
    image = images(1, 1, 28, 20)
    found = OrientedGradients(orientations, scales=[1], grid=grid, intensity=0)(image)
    expected = np.stack(energies(image[0, 0].double().numpy(), grid, orientations))
    np.testing.assert_allclose(found[0], expected, rtol=2e-4, atol=2e-5)


def test_a_coarser_scale_is_that_of_the_averaged_image() -> None:
    image = images(1, 1, 32, 32)
    averaged = image.unflatten(3, (16, 2)).unflatten(2, (16, 2)).mean((3, 5))
    both = OrientedGradients(scales=[1, 2], intensity=0)(image)
    torch.testing.assert_close(both[:, 8:], OrientedGradients(scales=[1], intensity=0)(averaged))


def test_mean_and_contrast_stand_beside_the_energies() -> None:
    image = images(2, 1, 28, 28)
    found = OrientedGradients(scales=[1], intensity=0.5)(image)[:, 8:]
    weights = windows(28, 9)
    for number in range(2):
        pixels = image[number, 0].double().numpy()
        mean, square = (weights @ values @ weights.T for values in (pixels, pixels**2))
        expected = 0.5 * np.stack([mean, np.sqrt(square - mean**2)])
        np.testing.assert_allclose(found[number], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (3, 3, 64, 48), (2, 4, 17, 130)])
def test_any_size_and_number_of_colours_gives_the_same_features(shape: tuple[int, ...]) -> None:
    front = OrientedGradients()
    assert front(images(*shape)).shape == (shape[0], front.channels, 9, 9) == (shape[0], 26, 9, 9)


def test_energies_of_colours_add_up() -> None:
    grey, front = images(2, 1, 28, 28), OrientedGradients(intensity=0)
    squared = front(grey.expand(-1, 3, -1, -1)).square()
    torch.testing.assert_close(squared, 3 * front(grey).square(), rtol=1e-3, atol=1e-6)


def test_an_edge_is_seen_in_its_direction_and_its_place() -> None:
    image = torch.zeros(1, 1, 27, 27)
    image[..., 13:] = 1  # brighter to the right, in the middle
    found = OrientedGradients(scales=[1], intensity=0)(image)[0]
    strongest = int(found.sum((1, 2)).argmax())
    other_way = OrientedGradients(scales=[1], intensity=0)(1 - image)[0]
    assert int(other_way.sum((1, 2)).argmax()) == (strongest + 4) % 8
    assert int(found[strongest].mean(0).argmax()) == 4


def test_a_flat_image_is_finite_and_brightness_is_seen_without_any_edge() -> None:
    front = OrientedGradients()
    dark, bright = front(torch.full((1, 1, 28, 28), 0.2)), front(torch.full((1, 1, 28, 28), 0.8))
    assert dark.isfinite().all()
    assert (bright - dark)[0, 24].min() > 0.3
    torch.testing.assert_close(dark[:, :24], bright[:, :24])


def test_reduced_precision_around_it_changes_nothing() -> None:
    front, image = OrientedGradients(), images(2, 1, 28, 28)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(front(image), front(image.float()), rtol=0, atol=0)
        assert front(image).dtype == torch.float32


def test_mistakes_are_named() -> None:
    for options, says in (({"grid": 0}, "grid=0"), ({"intensity": -1}, "intensity=-1")):
        with pytest.raises(UserError, match=says):
            OrientedGradients(**options)
    with pytest.raises(UserError, match=r"images of \[6, 28\] pixels are too small"):
        OrientedGradients()(images(1, 1, 6, 28))
