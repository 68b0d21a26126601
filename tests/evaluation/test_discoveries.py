"""Discoveries are those of Benjamini and Hochberg, and keep what they promise; drift is seen."""

from __future__ import annotations

import numpy as np
import pytest

from aeanomaly.errors import UserError
from aeanomaly.evaluation.discoveries import discoveries, drift, fewest_discoveries


def conformal(scores: np.ndarray, normal: np.ndarray) -> np.ndarray:
    above = (normal[None] >= scores[:, None]).sum(1)
    return ((1 + above) / (1 + len(normal))).astype(np.float32)


def test_they_are_those_of_the_step_up_rule() -> None:
    generator = np.random.default_rng(0)
    for count in (1, 7, 200):
        p_values = generator.beta(0.4, 1, count).astype(np.float32)
        ranked = np.sort(p_values)
        passing = np.flatnonzero(ranked <= 0.2 * np.arange(1, count + 1) / count)
        limit = ranked[passing[-1]] if len(passing) else -1
        assert (discoveries(p_values, 0.2) == (p_values <= limit)).all()
    assert discoveries(np.array([1 / 20, 1, 1, 1], np.float32), 0.2).tolist() == [True, False, False, False]
    assert discoveries(np.zeros(0, np.float32), 0.2).shape == (0,)
    assert float(np.float32(1 / 20)) > 1 / 20  # which would have cost the discovery above


def test_the_share_of_normal_images_among_them_is_kept() -> None:
    """Over many draws of held-out and new images, with p-values that share the former."""
    generator = np.random.default_rng(1)
    shares, found = [], []
    for _ in range(300):
        normal = generator.normal(size=199)
        scores = np.concatenate([generator.normal(size=90), generator.normal(4, size=10)])
        flagged = discoveries(conformal(scores, normal), 0.2)
        shares.append(flagged[:90].sum() / max(1, flagged.sum()))
        found.append(flagged[90:].mean())
    assert 0.1 < np.mean(shares) < 0.2
    assert np.mean(found) > 0.8


@pytest.mark.parametrize("rate", [0, 1, -0.1, float("nan")])
def test_no_rate(rate: float) -> None:
    with pytest.raises(UserError, match="must lie strictly between 0 and 1"):
        discoveries(np.ones(3), rate)


@pytest.mark.parametrize(
    ("normal", "images", "rate", "fewest"), [(99, 1000, 0.1, 100), (19, 40, 0.1, 20), (99, 5, 0.1, 1)]
)
def test_fewer_than_the_fewest_cannot_be_discovered(normal: int, images: int, rate: float, fewest: int) -> None:
    assert fewest_discoveries(normal, images, rate) == fewest
    for count in (fewest, fewest - 1):
        p_values = np.where(np.arange(images) < count, 1 / (normal + 1), 1).astype(np.float32)
        assert discoveries(p_values, rate).sum() == (count if count == fewest else 0)


def test_drift_is_seen_where_there_is_some() -> None:
    generator = np.random.default_rng(2)
    normal = generator.normal(size=200)
    assert drift(generator.normal(size=500), normal).p_value > 0.01
    distance, p_value = drift(generator.normal(1, size=500), normal)
    assert distance > 0.3
    assert p_value < 1e-6
    assert drift(np.full(50, np.nan), normal).distance == 1
