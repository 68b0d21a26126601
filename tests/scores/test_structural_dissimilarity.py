"""Structural dissimilarity against scipy's Gaussian filter and the paper's formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch._subclasses.fake_tensor import FakeTensorMode  # private; tensors of a GPU where there is none
from torch.nn import functional

from aeanomaly.errors import UserError
from aeanomaly.outputs import Output
from aeanomaly.scores.structural_dissimilarity import StructuralDissimilarity
from tests.scores.parts import assert_the_same_in_pieces, images


def similarity(one: np.ndarray, other: np.ndarray, sigma: float) -> np.ndarray:
    """SSIM around every place of two (H, W) images in float64, by equation 13 of the paper; borders mirrored."""

    def mean(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, sigma, mode="mirror", truncate=3.5)

    constant1, constant2 = 0.01**2, 0.03**2
    mean1, mean2 = mean(one), mean(other)
    variance1, variance2 = mean(one**2) - mean1**2, mean(other**2) - mean2**2
    covariance = mean(one * other) - mean1 * mean2
    upper = (2 * mean1 * mean2 + constant1) * (2 * covariance + constant2)
    return upper / ((mean1**2 + mean2**2 + constant1) * (variance1 + variance2 + constant2))


@pytest.mark.parametrize(("channels", "sigma"), [(1, 1.5), (3, 1.5), (1, 0.8)])
def test_score_and_map_are_the_papers(channels: int, sigma: float) -> None:
    output, score = images(channels=channels), StructuralDissimilarity(sigma)
    pairs = zip(output.reconstruction.double().numpy(), output.target.double().numpy(), strict=True)
    expected = np.stack(
        [1 - np.mean([similarity(a, b, sigma) for a, b in zip(*pair, strict=True)], axis=0) for pair in pairs]
    )
    found = score.map(output)
    assert found.shape == (6, 12, 15)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_allclose(score(output), expected.mean((1, 2)), atol=1e-5)
    assert expected.mean((1, 2)).max() > 0.05


def test_a_gpu_averages_in_more_digits_than_tf32_has(monkeypatch: pytest.MonkeyPatch) -> None:
    convolve, seen = functional.conv2d, []

    def watched(*arguments: Any, **options: Any) -> Any:
        seen.append(arguments[0].dtype)
        return convolve(*arguments, **options)

    monkeypatch.setattr(functional, "conv2d", watched)
    with FakeTensorMode():
        for device in ("cpu", "cuda"):
            image = torch.zeros(6, 1, 12, 15, device=device)
            score = StructuralDissimilarity()(Output(image, image, image))
            assert (score.device.type, score.dtype) == (device, torch.float32)
    assert seen == [torch.float32, torch.float64]


def test_the_same_image_is_not_dissimilar_and_its_negative_is_most() -> None:
    stripes = (torch.arange(16) % 4 < 2).float().expand(1, 1, 16, 16)
    same = StructuralDissimilarity()(Output(stripes, stripes, stripes))
    assert same.item() == pytest.approx(0, abs=1e-6)
    opposite = StructuralDissimilarity()(Output(stripes, 1 - stripes, stripes))
    assert 1.5 < opposite.item() < 2


def test_a_moved_stroke_weighs_more_than_a_paler_one() -> None:
    stroke = torch.zeros(1, 1, 16, 16)
    stroke[..., 4:12, 7:9] = 1
    paler, moved = 0.7 * stroke, stroke.roll(3, 3)
    drawn = torch.cat([paler, moved])
    first, second = StructuralDissimilarity()(Output(drawn, drawn, stroke.repeat(2, 1, 1, 1))).tolist()
    assert second > 2 * first


def test_images_are_judged_one_by_one_in_chunks() -> None:
    output = images(count=600, height=8, width=8)
    assert_the_same_in_pieces(StructuralDissimilarity(), output, size=100)
    assert StructuralDissimilarity.chunk is not None
    assert StructuralDissimilarity.chunk < 600
    empty = Output(torch.zeros(0, 1), torch.zeros(0, 1, 8, 8), torch.zeros(0, 1, 8, 8))
    assert StructuralDissimilarity().score(empty).shape == (0,)


def test_bfloat16_autocast_does_not_reach_it() -> None:
    output = images()
    expected = StructuralDissimilarity().score(output)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(StructuralDissimilarity().score(output), expected)


@pytest.mark.parametrize("shape", [(3, 5, 9), (1, 9, 5), (40,)])
def test_what_is_too_small_for_the_window_is_refused(shape: tuple[int, ...]) -> None:
    target = torch.zeros(2, *shape)
    with pytest.raises(UserError, match=r"needs images of more than 5x5 pixels.*lower sigma"):
        StructuralDissimilarity()(Output(target, target, target))


def test_a_window_without_width_is_refused() -> None:
    with pytest.raises(UserError, match="above 0"):
        StructuralDissimilarity(0.0)
