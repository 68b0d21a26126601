"""What tests of several scores share: codes, and a checkpoint in memory."""

from __future__ import annotations

import io
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn

from aeanomaly.outputs import Output
from aeanomaly.scores.base import Score

AnyScore = TypeVar("AnyScore", bound=Score)


def codes(count: int = 300, size: int = 5, seed: int = 0) -> Tensor:
    """Codes in a few lumps of unequal shape, away from the origin."""
    generator = torch.Generator().manual_seed(seed)
    shapes = torch.Generator().manual_seed(99)  # the same lumps whatever the seed
    lumps = 5 * torch.randn(4, size, generator=shapes) + 50
    mixing = torch.randn(size, size, generator=shapes)
    noise = torch.randn(count, size, generator=generator)
    return lumps[torch.randint(4, (count,), generator=generator)] + noise @ mixing


def output(code: Tensor) -> Output:
    return Output.from_tensors({"code": code})


def images(count: int = 6, channels: int = 1, height: int = 12, width: int = 15, seed: int = 0) -> Output:
    """Images in [0, 1] of unequal ink, and reconstructions of unequal quality."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(count, channels, height, width, generator=generator)
    target = target * torch.linspace(0.2, 1, count).view(-1, 1, 1, 1)
    noise = torch.randn(target.shape, generator=generator) * torch.linspace(0.3, 0.02, count).view(-1, 1, 1, 1)
    return Output(code=torch.zeros(count, 1), reconstruction=(target + noise).clamp(0, 1), target=target)


def fitted(score: AnyScore, code: Tensor) -> AnyScore:
    score.fit(output(code))
    return score


def assert_survives_a_checkpoint(trained: Score, fresh: Score, new: Output) -> None:
    """An unfitted score is fitted by a checkpoint that holds nothing but tensors, and scores alike."""
    assert trained.fitted
    assert not fresh.fitted
    stream = io.BytesIO()
    torch.save(nn.ModuleDict({"score": trained}).state_dict(), stream)
    stream.seek(0)
    nn.ModuleDict({"score": fresh}).load_state_dict(torch.load(stream, weights_only=True))
    assert fresh.fitted
    assert torch.equal(fresh.score(new), trained.score(new))
    assert fresh.problems() == trained.problems()


def assert_the_same_in_pieces(score: Score, new: Output, size: int = 7) -> None:
    """The images of a batch do not see each other."""
    whole = score.score(new)
    pieces = torch.cat([score.score(piece) for piece in new.split(size)])
    assert whole.tolist() == pytest.approx(pieces.tolist(), rel=1e-4, abs=1e-5)
    assert score.score(new.split(1)[0]).shape == (1,)
