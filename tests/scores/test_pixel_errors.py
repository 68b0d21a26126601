"""Reconstruction errors of single pixels against numpy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aeanomaly.errors import UserError
from aeanomaly.outputs import Output
from aeanomaly.scores.base import Score
from aeanomaly.scores.pixel_errors import AbsoluteError, RelativeError, TopPixels
from tests.scores.parts import assert_the_same_in_pieces, images

ALL = [AbsoluteError(), RelativeError(), TopPixels()]
FLAT = Output(torch.zeros(3, 1), torch.rand(3, 40), torch.rand(3, 40))


def arrays(output: Output) -> tuple[np.ndarray, np.ndarray]:
    return output.reconstruction.double().numpy(), output.target.double().numpy()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_absolute_error_is_summed(channels: int) -> None:
    output = images(channels=channels)
    drawn, target = arrays(output)
    np.testing.assert_allclose(AbsoluteError()(output), np.abs(drawn - target).sum((1, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize("constant", [1.0, 20.0])
def test_the_relative_error_is_divided_by_the_ink_and_a_constant(constant: float) -> None:
    output = images(channels=3)
    drawn, target = arrays(output)
    expected = ((drawn - target) ** 2).sum((1, 2, 3)) / ((target**2).sum((1, 2, 3)) + constant)
    np.testing.assert_allclose(RelativeError(constant)(output), expected, rtol=1e-5)


def test_an_empty_image_has_a_relative_error() -> None:
    blank = torch.zeros(2, 1, 4, 4)
    drawn = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)])
    assert RelativeError(0.5)(Output(blank, drawn, blank)).tolist() == [0.0, 32.0]


def test_top_pixels_averages_the_largest_errors() -> None:
    target = torch.zeros(1, 2, 5, 2)
    drawn = torch.zeros(1, 2, 5, 2)
    drawn[0, 0, 3, 1], drawn[0, 1, 3, 1], drawn[0, 0, 0, 0], drawn[0, 1, 2, 1] = 3.0, 4.0, 2.0, 1.0
    output = Output(target, drawn, target)  # errors of the 10 places: 25, 4, 1 and zeros
    found = [TopPixels(share)(output).item() for share in (0.01, 0.1, 0.11, 0.2, 0.3, 1.0)]
    assert found == pytest.approx([25.0, 25.0, 14.5, 14.5, 10.0, 3.0])


def test_all_pixels_are_the_mean_squared_error() -> None:
    output = images()
    drawn, target = arrays(output)
    np.testing.assert_allclose(TopPixels(1.0)(output), ((drawn - target) ** 2).mean((1, 2, 3)), rtol=1e-5)


def test_a_small_defect_outweighs_faint_noise_only_among_the_top_pixels() -> None:
    target = torch.zeros(2, 1, 20, 20)
    drawn = torch.full_like(target, 0.1)
    drawn[1] = 0.0
    drawn[1, 0, 4:5, 4:7] = 1.0  # three pixels: 3 in all, the noise 4
    output = Output(target, drawn, target)
    noise, defect = TopPixels(0.0075)(output).tolist()
    assert defect == pytest.approx(1.0)
    assert noise == pytest.approx(0.01)
    noise, defect = TopPixels(1.0)(output).tolist()
    assert noise > defect


@pytest.mark.parametrize("score", ALL, ids=lambda score: type(score).__name__)
def test_whatever_the_score_its_inputs_stay_and_images_are_judged_one_by_one(score: Score) -> None:
    for output in (images(), FLAT):
        before = output.reconstruction.clone(), output.target.clone()
        assert_the_same_in_pieces(score, output, size=2)
        assert torch.equal(output.reconstruction, before[0])
        assert torch.equal(output.target, before[1])
        light = output.only(score.reads)
        assert torch.equal(score.score(light), score.score(output))
    assert score.fitted
    empty = Output(torch.zeros(0, 1), torch.zeros(0, 1, 8, 8), torch.zeros(0, 1, 8, 8))
    assert score.score(empty).shape == (0,)


@pytest.mark.parametrize("score", [AbsoluteError(), RelativeError()], ids=lambda score: type(score).__name__)
def test_the_map_adds_up_to_the_score(score: Score) -> None:
    output = images(channels=3)
    places = score.map(output)
    assert places is not None
    assert places.shape == (6, 12, 15)
    assert torch.allclose(places.sum((1, 2)), score(output))
    assert score.map(FLAT) is None


def test_the_map_of_top_pixels_holds_them() -> None:
    output = images(channels=3)
    places = TopPixels().map(output)
    assert places is not None
    expected = np.sort(places.flatten(1).numpy(), 1)[:, -9:].mean(1)  # 5 % of 180
    np.testing.assert_allclose(TopPixels(0.05)(output), expected, rtol=1e-5)
    assert TopPixels().map(FLAT) is None


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(UserError, match="TopPixels needs a share"):
        TopPixels(share)


@pytest.mark.parametrize("constant", [0.0, -1.0, float("nan")])
def test_a_constant_that_allows_a_division_by_zero_is_refused(constant: float) -> None:
    with pytest.raises(UserError, match="above 0"):
        RelativeError(constant)
