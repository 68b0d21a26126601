"""What holds for every score of the package, on every net that it can be used with."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

import aeanomaly.scores
from aeanomaly.evaluation.detector import Detector
from aeanomaly.scores.base import Score
from tests.every_part import NETS, SCORES, classes_of, scores_of, smooth_images
from tests.scores.parts import assert_survives_a_checkpoint


def images(count: int, seed: int) -> Tensor:
    """Smooth ones with noise in every pixel, as photographs have, so that none is without variance."""
    noise = 0.1 * torch.randn(smooth_images(count).shape, generator=torch.Generator().manual_seed(seed))
    return (smooth_images(count, seed) + noise).clamp(0, 1)


@torch.no_grad()
def fitted(name: str) -> Detector:
    """A net after some steps with all scores that it can have, fitted and calibrated."""
    torch.manual_seed(0)
    net, normal = NETS[name](), images(200, 0)
    optimizer = torch.optim.Adam(net.parameters(), 0.005)
    for _ in range(60):
        optimizer.zero_grad()
        with torch.enable_grad():
            torch.stack(list(net.training_loss(normal[:60])[0].values())).sum().backward()
        optimizer.step()
    detector = Detector(net.eval(), scores_of(net), {})
    output = detector.complete(net(normal))
    for key, score in detector.score_modules.items():
        if score.fitted_on:
            score.fit(output.only(score.reads))
        if not score.reads_scores:
            detector.calibration(key).fit(detector.score(key, output))
    return detector


def test_every_score_is_tested_and_has_a_net() -> None:
    assert {type(make()) for make in SCORES.values()} == set(classes_of(aeanomaly.scores, Score))
    assert set().union(*(scores_of(make()) for make in NETS.values())) == SCORES.keys()


@pytest.mark.parametrize("name", NETS)
def test_scores_of_a_net_at_half_precision_are_nearly_those_at_full(name: str) -> None:
    """A number of bfloat16 is off by up to 0.4 %, what several layers make of it by about 1 %.

    A memory multiplies that where a weight lies at its threshold. Scores may therefore differ by a tenth of what they
    differ by between images, and order these nearly alike.
    """
    detector, new = fitted(name), torch.cat([images(60, 1), images(20, 2) ** 0.3])
    with torch.no_grad():
        full = detector(new)
        with torch.autocast("cpu", torch.bfloat16):
            half = detector(new)
    for key in detector.scores:
        expected, found = full[key].score, half[key].score
        assert found.dtype == torch.float32, key
        assert (found - expected).abs().mean() < 0.1 * expected.std(), key
        assert spearmanr(found, expected)[0] > 0.98, key


@torch.no_grad()
def test_what_was_fitted_comes_back_from_a_checkpoint() -> None:
    detector = fitted("variational")
    output, fresh = detector.complete(detector.net(images(20, 1))), scores_of(NETS["variational"]())
    for key, score in detector.score_modules.items():
        if score.fitted_on:
            assert_survives_a_checkpoint(score, fresh[key], output.only(score.reads))
