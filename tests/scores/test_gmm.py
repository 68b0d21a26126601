"""The Gaussian mixture against scikit-learn's and against a normal distribution."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture as SklearnMixture

from aeanomaly.errors import UserError
from aeanomaly.scores.gmm import GaussianMixture
from tests.scores.parts import assert_survives_a_checkpoint, assert_the_same_in_pieces, codes, fitted, output


@pytest.mark.parametrize(("k", "random_state", "n_init"), [(4, 9, 1), (9, 0, 2), (1, 3, 1)])
def test_the_score_is_minus_score_samples(k: int, random_state: int, n_init: int) -> None:
    code, new = codes(400), torch.cat([codes(40, seed=1), codes(10, seed=2) + 8])
    expected = SklearnMixture(k, random_state=random_state, n_init=n_init).fit(code.double().numpy())
    score = fitted(GaussianMixture(k, random_state=random_state, n_init=n_init), code)
    assert score.means.shape == (k, 5)
    np.testing.assert_allclose(score(output(new)), -expected.score_samples(new.double().numpy()), rtol=1e-4, atol=1e-3)


def test_one_component_is_a_normal_distribution() -> None:
    code, new = codes(300, 3), codes(20, 3, seed=1)
    score = fitted(GaussianMixture(1, reg_covar=0.0), code)
    normal = multivariate_normal(code.double().mean(0), np.cov(code.double().numpy().T, bias=True))
    np.testing.assert_allclose(score(output(new)), -normal.logpdf(new.double().numpy()), rtol=1e-4)


def test_a_component_has_a_shape() -> None:
    """The same distance from the centre is common along a stretched component, and rare across."""
    code = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([10.0, 0.1])
    along, across = fitted(GaussianMixture(1), code)(output(torch.tensor([[5.0, 0.0], [0.0, 5.0]]))).tolist()
    assert across > along + 1000


def test_there_are_no_more_components_than_codes() -> None:
    score = fitted(GaussianMixture(9), codes(4))
    assert score.means.shape == (4, 5)
    assert score(output(codes(4))).isfinite().all()


def test_a_fit_cut_short_is_reported_and_nothing_else_is_said() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score = fitted(GaussianMixture(9, max_iter=1), codes())
    assert score.problems() == ["the Gaussian mixture had not converged after 1 steps (raise max_iter)"]
    assert fitted(GaussianMixture(2), codes()).problems() == []


def test_a_collapsed_component_is_refused_with_what_to_do() -> None:
    with pytest.raises(UserError, match=r"a component collapsed; raise reg_covar \(0.0\) or lower n_components \(2\)"):
        fitted(GaussianMixture(2, reg_covar=0.0), torch.tensor([[0.0, 0.0], [1.0, 1.0]]).repeat(20, 1))


@pytest.mark.parametrize("arguments", [{"n_components": 0}, {"n_init": 0}, {"max_iter": 0}, {"reg_covar": -1.0}])
def test_impossible_numbers_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(UserError, match="GaussianMixture needs"):
        GaussianMixture(**arguments)  # type: ignore[arg-type]


def test_state_and_pieces() -> None:
    score, new = fitted(GaussianMixture(3), codes()), output(codes(40, seed=1))
    assert_survives_a_checkpoint(score, GaussianMixture(5), new)
    assert_the_same_in_pieces(score, new)
    score.fit(output(codes(50, size=2)))
    assert score.means.shape == (3, 2)
