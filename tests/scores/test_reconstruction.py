"""The reconstruction error."""

from __future__ import annotations

import pytest
import torch

from aeanomaly.outputs import Output
from aeanomaly.scores.reconstruction import ReconstructionError


def test_errors_are_summed_over_pixels() -> None:
    target = torch.zeros(3, 1, 28, 28)
    reconstruction = torch.stack([torch.full((1, 28, 28), value) for value in (0.0, 0.5, 1.0)])
    score = ReconstructionError()(Output(torch.zeros(3, 5), reconstruction, target))
    assert score.tolist() == [0.0, 196.0, 784.0]


@pytest.mark.parametrize("shape", [(7,), (3, 8, 8), (1, 28, 28), (4, 2, 3, 5)])
def test_any_shape_of_target_will_do(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    target, reconstruction = (torch.rand(4, *shape, generator=generator) for _ in range(2))
    score = ReconstructionError()(Output(torch.zeros(4, 2), reconstruction, target))
    assert score.shape == (4,)
    assert score.dtype == torch.float32
    for row in range(4):
        pairs = zip(target[row].flatten().tolist(), reconstruction[row].flatten().tolist(), strict=True)
        assert score[row].item() == pytest.approx(sum((a - b) ** 2 for a, b in pairs), rel=1e-5)


def test_the_target_need_not_be_the_image_and_the_code_is_not_read() -> None:
    light = Output(torch.ones(2, 5), torch.ones(2, 6), torch.full((2, 6), 3.0)).only(ReconstructionError.reads)
    assert ReconstructionError()(light).tolist() == [24.0, 24.0]


@pytest.mark.parametrize("images", [0, 1])
def test_a_batch_of_one_or_none(images: int) -> None:
    batch = torch.ones(images, 1, 8, 8)
    score = ReconstructionError()(Output(torch.ones(images, 2), 3 * batch, batch))
    assert score.tolist() == [256.0] * images


def test_there_is_nothing_to_fit() -> None:
    score = ReconstructionError()
    assert score.fitted
    assert score.fitted_on is None
    assert score.problems() == []


def test_the_map_adds_up_to_the_score() -> None:
    images, drawn = torch.rand(3, 2, 4, 5), torch.rand(3, 2, 4, 5)
    output = Output(code=torch.zeros(3, 1), reconstruction=drawn, target=images)
    places = ReconstructionError().map(output)
    assert places is not None
    assert places.shape == (3, 4, 5)
    assert torch.allclose(places.sum((1, 2)), ReconstructionError()(output))
    flat = Output(code=torch.zeros(3, 1), reconstruction=torch.zeros(3, 7), target=torch.zeros(3, 7))
    assert ReconstructionError().map(flat) is None
