"""The Mahalanobis distance against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from aeanomaly.scores.mahalanobis import Mahalanobis
from tests.scores.parts import assert_survives_a_checkpoint, assert_the_same_in_pieces, codes, fitted, output


@pytest.mark.parametrize(("count", "size"), [(300, 5), (30, 50)])
def test_distances_are_those_of_scikit_learn(count: int, size: int) -> None:
    """With fewer codes than dimensions too."""
    code, new = codes(count, size), codes(40, size, seed=1)
    expected = LedoitWolf().fit(code.double().numpy()).mahalanobis(new.double().numpy())
    np.testing.assert_allclose(fitted(Mahalanobis(), code)(output(new)), expected, rtol=1e-4)


def test_a_dimension_that_never_changes_counts_by_the_shrunk_covariance() -> None:
    code, new = codes(), codes(20, seed=1)
    code[:, 2] = 3.0
    expected = LedoitWolf().fit(code.double().numpy()).mahalanobis(new.double().numpy())
    np.testing.assert_allclose(fitted(Mahalanobis(), code)(output(new)), expected, rtol=1e-3)


def test_shrinking_is_the_difference_to_the_plain_covariance() -> None:
    code, new = codes(30, 20), codes(20, 20, seed=1)
    centred = (new - code.mean(0)).double()
    plain = ((centred @ code.double().T.cov().inverse()) * centred).sum(1)
    found = fitted(Mahalanobis(), code)(output(new)).double()
    assert (found < 0.8 * plain).all()


def test_the_mean_has_distance_zero_even_far_from_the_origin() -> None:
    code = codes() + 1e4
    score = fitted(Mahalanobis(), code)
    assert score(output(score.mean.unsqueeze(0))).item() == 0.0


def test_state_and_pieces() -> None:
    score, new = fitted(Mahalanobis(), codes()), output(codes(40, seed=1))
    assert_survives_a_checkpoint(score, Mahalanobis(), new)
    assert_the_same_in_pieces(score, new)
    score.fit(output(codes(50, size=2)))
    assert score.mean.shape == (2,)
