"""The corruptions, pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.models.corruptions import Corruption, Cutout, CutPaste, GaussianNoise, Masking, PatchSwap

ALL: dict[str, Callable[[], Corruption]] = {
    "noise": GaussianNoise,
    "masking": Masking,
    "cutout": Cutout,
    "cut and paste": CutPaste,
    "paste from others": lambda: CutPaste(source="other"),
    "swap": PatchSwap,
}
every_corruption = pytest.mark.parametrize("name", ALL)


def numbered(images: int = 40, channels: int = 2, height: int = 12, width: int = 15) -> Tensor:
    """Images in which every value is another whole number above 0."""
    count = images * channels * height * width
    return torch.arange(1, count + 1, dtype=torch.float32).view(images, channels, height, width)


def box(changed: Tensor) -> tuple[int, int, int, int]:
    """Top, left, height and width of the true values of an (H, W) mask, which must fill a rectangle."""
    rows, columns = changed.any(1).nonzero()[:, 0], changed.any(0).nonzero()[:, 0]
    top, left = int(rows[0]), int(columns[0])
    height, width = int(rows[-1]) - top + 1, int(columns[-1]) - left + 1
    assert int(changed.sum()) == height * width
    return top, left, height, width


def changes(corruption: Corruption, x: Tensor) -> tuple[Tensor, Tensor]:
    """The corrupted images, and (B, H, W) whether a pixel changed, which it does in all channels."""
    corrupted = corruption(x)
    changed = corrupted != x
    assert (changed == changed[:, :1]).all()
    return corrupted, changed[:, 0]


@every_corruption
def test_it_differs_from_call_to_call_and_follows_the_seed(name: str) -> None:
    corruption, x = ALL[name](), numbered()
    torch.manual_seed(1)
    one, two = corruption(x), corruption(x)
    torch.manual_seed(1)
    assert torch.equal(corruption(x), one)
    assert torch.equal(corruption(x), two)
    assert not torch.equal(one, two)
    assert torch.equal(x, numbered())  # left as it was
    assert one.shape == x.shape
    assert one.dtype == torch.float32


@every_corruption
def test_images_are_corrupted_each_in_its_own_way(name: str) -> None:
    same = numbered(1).expand(40, -1, -1, -1)
    corrupted = ALL[name]()(same)
    assert len({tuple(image.flatten().tolist()) for image in corrupted}) > 30


@every_corruption
def test_evaluation_leaves_images_as_they_are(name: str) -> None:
    x, state = numbered(), torch.get_rng_state()
    assert ALL[name]().eval()(x) is x
    assert torch.equal(torch.get_rng_state(), state)


@every_corruption
@pytest.mark.parametrize("shape", [(1, 1, 28, 28), (0, 3, 8, 8), (2, 3, 5, 31)])
def test_any_batch_will_do(name: str, shape: tuple[int, ...]) -> None:
    assert ALL[name]()(torch.rand(shape)).shape == shape


def test_noise_is_normal() -> None:
    noise = GaussianNoise(0.3)(torch.full((20, 1, 30, 30), 0.5)) - 0.5
    assert kstest(noise.flatten().numpy() / 0.3, "norm").pvalue > 1e-3


def test_masking_zeroes_its_share_of_pixels_in_all_channels() -> None:
    x = numbered()
    corrupted, changed = changes(Masking(0.25), x)
    assert changed.float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert torch.equal(corrupted, torch.where(changed[:, None], torch.tensor(0.0), x))


def test_cutout_fills_one_rectangle() -> None:
    x = numbered(300)
    corrupted, changed = changes(Cutout((0.1, 0.2), (0.5, 2.0), value=-1.0), x)
    boxes = [box(image) for image in changed]
    assert (corrupted[changed[:, None].expand_as(x)] == -1).all()
    for _, _, height, width in boxes:  # half a pixel of rounding on each side
        assert (height - 0.5) * (width - 0.5) <= 0.2 * 180
        assert (height + 0.5) * (width + 0.5) >= 0.1 * 180
        assert (height - 0.5) / (width + 0.5) <= 2
        assert (height + 0.5) / (width - 0.5) >= 0.5
    tops, lefts, heights, widths = (set(values) for values in zip(*boxes, strict=True))
    assert min(tops) == min(lefts) == 0
    assert max(top + height for top, _, height, _ in boxes) == 12
    assert max(left + width for _, left, _, width in boxes) == 15
    assert len(heights) > 3
    assert len(widths) > 3


def test_cut_and_paste_moves_a_rectangle_within_the_image() -> None:
    x = numbered(200)
    corrupted, changed = changes(CutPaste(), x)
    moves = set()
    for before, after, pixels in zip(x, corrupted, changed, strict=True):
        if not pixels.any():  # pasted where it was cut
            continue
        box(pixels)
        (move,) = set((after - before)[:, pixels].flatten().tolist())  # one step in rows and columns for all
        moves.add(move)
        assert set(after.flatten().tolist()) <= set(before.flatten().tolist())
    assert len(moves) > 50


def test_paste_from_others_takes_a_rectangle_of_another_image() -> None:
    x = numbered(50)
    corrupted, changed = changes(CutPaste(source="other"), x)
    givers = []
    for number, (after, pixels) in enumerate(zip(corrupted, changed, strict=True)):
        box(pixels)
        given = after[:, pixels].flatten()
        (giver,) = set(((given - 1) // x[0].numel()).tolist())
        givers.append(giver)
        assert giver != number
        assert len(set((given - x[number][:, pixels].flatten()).tolist())) == 1
    assert len(set(givers)) == 50


@pytest.mark.parametrize("sides", [(12, 15), (8, 8), (5, 31)])
def test_a_swap_exchanges_two_patches(sides: tuple[int, int]) -> None:
    x = numbered(200, 2, *sides)
    corrupted, changed = changes(PatchSwap(0.3), x)
    high, wide = round(0.3 * sides[0]), round(0.3 * sides[1])
    assert (changed.flatten(1).sum(1) == 2 * high * wide).all()
    assert torch.equal(corrupted.flatten(1).sort(1).values, x.flatten(1))
    flat = (corrupted[:, 0] - x[:, :1, 0, 0, None]).long().flatten(1)  # where each pixel comes from
    assert torch.equal(flat.gather(1, flat), torch.arange(flat.shape[1]).expand_as(flat))  # and goes back to
    for image, moved in zip(changed, flat.view(-1, *sides), strict=True):
        (step,) = {abs(int(s)) for s in (moved - torch.arange(moved.numel()).view(sides))[image]}
        assert step > 0
    assert changed.any(0).all()  # every place is reached


def test_several_swaps_go_on_from_each_other() -> None:
    x = numbered(50)
    corrupted, changed = changes(PatchSwap(0.25, swaps=5), x)
    assert torch.equal(corrupted.flatten(1).sort(1).values, x.flatten(1))
    assert changed.flatten(1).sum(1).max() > 2 * 3 * 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianNoise(-1), "deviation"),
        (lambda: Masking(1.5), "share"),
        (lambda: Cutout((0.0, 0.1)), "area"),
        (lambda: CutPaste((0.2, 0.1)), "area"),
        (lambda: CutPaste(aspect=(0.0, 1.0)), "aspect"),
        (lambda: CutPaste(source="x"), "a source of same or other, got source='x'"),
        (lambda: PatchSwap(0.0), "size"),
        (lambda: PatchSwap(swaps=0), "swap"),
        (lambda: PatchSwap(0.8)(numbered()), "two fit into 12x15"),
    ],
)
def test_impossible_numbers_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
