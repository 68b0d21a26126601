"""Views against what they are said to do."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn

from aeanomaly.errors import UserError
from aeanomaly.models.views import Gain, Geometry, Strokes

VIEWS = [Geometry(), Strokes(), Gain()]


def images(count: int = 6, colours: int = 1, side: int = 28) -> Tensor:
    return torch.rand(count, colours, side, side, generator=torch.Generator().manual_seed(0))


def still(**amounts: float) -> Geometry:
    """A geometry without any change but those named."""
    return Geometry(**{"rotation": 0.0, "scale": 0.0, "shear": 0.0, "shift": 0.0, "bend": 0.0, **amounts})


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: type(view).__name__)
def test_views_differ_from_call_to_call_and_follow_the_seed(view: nn.Module) -> None:
    x = images()
    torch.manual_seed(3)
    first, second = view(x), view(x)
    torch.manual_seed(3)
    again = view(x)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert first.shape == x.shape
    assert first.min() >= 0
    assert first.max() <= 1


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: type(view).__name__)
def test_images_are_changed_one_by_one(view: nn.Module) -> None:
    """The same image many times gives many views, and an image's view has nothing of its neighbours."""
    x = images(1).expand(30, -1, -1, -1)
    assert len(view(x).flatten(1).unique(dim=0)) > 2
    lonely = torch.cat([torch.zeros(1, 1, 28, 28), images(5)])
    assert view(lonely)[0].abs().max() == 0


def test_no_amount_is_no_change() -> None:
    torch.testing.assert_close(still()(images()), images())


def test_every_colour_is_moved_alike() -> None:
    x = images(colours=1).expand(-1, 3, -1, -1)
    view = Geometry()(x)
    assert torch.equal(view[:, 0], view[:, 2])


def centre_of_mass(image: Tensor) -> Tensor:
    places = torch.arange(image.shape[-1], dtype=torch.float32) - (image.shape[-1] - 1) / 2
    return torch.stack([(image.sum(0) * places).sum(), (image.sum(1) * places).sum()]) / image.sum()


def test_a_shift_moves_a_blob_by_at_most_its_share_of_the_side() -> None:
    x = torch.zeros(200, 1, 40, 40)
    x[:, :, 18:22, 18:22] = 1
    moved = torch.stack([centre_of_mass(view[0]) for view in still(shift=0.1)(x)])
    assert moved.abs().max() <= 4.01
    assert moved.abs().amax(0).min() > 3  # and uses the room in both directions


def test_bending_moves_places_smoothly_by_the_deviation_that_is_said() -> None:
    """Of ramps that rise by the position, the view minus the image is how far each place was moved."""
    side = 40
    ramp = torch.arange(side, dtype=torch.float32).expand(1, 1, side, side)
    torch.manual_seed(0)
    moved = still(bend=0.02)(ramp.expand(2000, 1, side, side)) - ramp
    inner = moved[:, 0, 8:-8, 8:-8]  # nothing there comes from beyond the edge
    at_a_corner_of_the_mesh = moved[:, 0, 13, 13]  # where one of the four numbers a side decides
    assert at_a_corner_of_the_mesh.std().item() == pytest.approx(0.02 * side, rel=0.1)
    assert inner.mean().abs() < 0.05
    assert inner.diff(dim=2).abs().max() < 0.5  # neighbours move nearly alike
    assert inner.std(dim=(1, 2)).min() > 0.01  # and no image as a whole


def test_a_rotation_is_that_of_scipy() -> None:
    x = torch.zeros(100, 1, 41, 41)
    x[:, :, 18:23, 8:33] = 1  # a bar
    found = still(rotation=20)(x)[:, 0]
    angles = np.linspace(-20, 20, 161)
    turned = np.stack([ndimage.rotate(x[0, 0].numpy(), angle, reshape=False, order=1) for angle in angles])
    nearest = [(abs(turned - view.numpy()).mean((1, 2))).argmin() for view in found]
    errors = [abs(turned[place] - view.numpy()).mean() for place, view in zip(nearest, found, strict=True)]
    assert max(errors) < 0.005
    assert min(nearest) < 16
    assert max(nearest) > 144


@pytest.mark.parametrize("amounts", [{"rotation": 30.0}, {"shear": 0.5}, {"rotation": 30.0, "shear": 0.5}])
@pytest.mark.parametrize("sides", [(64, 256), (150, 50)])
def test_angles_are_those_of_pixels_whatever_the_shape(sides: tuple[int, int], amounts: dict[str, float]) -> None:
    """What is seen in the middle of a long image is what is seen of the square that is cut out of it."""
    side, margins = min(sides), [(long - min(sides)) // 2 for long in sides]
    smooth = torch.rand(20, 1, 7, 7, generator=torch.Generator().manual_seed(0))
    whole = torch.zeros(20, 1, *sides)
    middle = whole[:, :, margins[0] : margins[0] + side, margins[1] : margins[1] + side]
    middle[:, :, 12:-12, 12:-12] = nn.functional.interpolate(smooth, (side - 24, side - 24), mode="bilinear")
    torch.manual_seed(1)
    expected = still(**amounts)(middle)
    torch.manual_seed(1)
    found = still(**amounts)(whole)
    cut = found[:, :, margins[0] : margins[0] + side, margins[1] : margins[1] + side]
    torch.testing.assert_close(cut[..., 12:-12, 12:-12], expected[..., 12:-12, 12:-12], atol=1e-3, rtol=0)


def test_square_images_are_moved_by_the_plain_formula_bit_for_bit() -> None:
    x, view = images(3), Geometry(bend=0.0)
    torch.manual_seed(5)
    found = view(x)
    torch.manual_seed(5)
    angle, shear, log_x, log_y = (2 * torch.rand(3) - 1 for _ in range(4))
    angle, shear = angle * math.radians(view.rotation), shear * view.shear
    wide, tall, cosine, sine = (log_x * view.scale).exp(), (log_y * view.scale).exp(), angle.cos(), angle.sin()
    right, down = (2 * view.shift * (2 * torch.rand(3) - 1) for _ in range(2))
    first = torch.stack([cosine * wide, (cosine * shear - sine) * tall, right], dim=1)
    second = torch.stack([sine * wide, (sine * shear + cosine) * tall, down], dim=1)
    grid = nn.functional.affine_grid(torch.stack([first, second], dim=1), [3, 1, 28, 28], align_corners=False)
    assert torch.equal(found, nn.functional.grid_sample(x, grid, padding_mode="border", align_corners=False))


def test_strokes_are_those_of_scipy_in_their_shares() -> None:
    x = images(1).expand(3000, -1, -1, -1)
    image = x[0, 0].numpy()
    kinds = [
        ndimage.maximum_filter(image, 3, mode="nearest"),
        ndimage.minimum_filter(image, 3, mode="nearest"),
        None,  # the mean, which at the edge is of the pixels there are
        image,
    ]
    counts = [0, 0, 0, 0]
    for view in Strokes(share=0.6)(x)[:, 0].numpy():
        same = [number for number, kind in enumerate(kinds) if kind is not None and np.allclose(view, kind)]
        counts[same[0] if same else 2] += 1
        if not same:
            inner = ndimage.uniform_filter(image, 3)[1:-1, 1:-1]
            np.testing.assert_allclose(view[1:-1, 1:-1], inner, atol=1e-5)
    np.testing.assert_allclose(np.array(counts) / 3000, [0.2, 0.2, 0.2, 0.4], atol=0.03)


def test_a_gain_is_a_factor_within_bounds() -> None:
    x = 0.1 + images(300) / 4
    factors = (Gain(0.2)(x) / x).flatten(1)
    assert (factors.amax(1) - factors.amin(1)).max() < 1e-3
    assert factors.log().abs().max() <= 0.2001
    assert factors[:, 0].log().min() < -0.19  # and uses the room both ways
    assert factors[:, 0].log().max() > 0.19


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Geometry(shift=-1), "shift=-1"),
        (lambda: Strokes(side=2), "side=2"),
        (lambda: Strokes(share=2), "share=2"),
        (lambda: Gain(-1), "-1"),
    ],
)
def test_mistakes_are_named(make: object, says: str) -> None:
    with pytest.raises(UserError, match=says):
        make()  # type: ignore[operator]
