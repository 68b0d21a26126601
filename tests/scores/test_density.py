"""The kernel density against scikit-learn's and scipy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import gaussian_kde
from sklearn.neighbors import KernelDensity as SklearnDensity

from aeanomaly.errors import UserError
from aeanomaly.scores import vector
from aeanomaly.scores.density import KernelDensity
from tests.scores.parts import assert_survives_a_checkpoint, assert_the_same_in_pieces, codes, fitted, output


@pytest.mark.parametrize("bandwidth", [0.3, 2.0])
def test_the_score_is_minus_score_samples(bandwidth: float) -> None:
    code, new = codes(), torch.cat([codes(40, seed=1), codes(5, seed=2) + 20])  # the last where the density underflows
    expected = SklearnDensity(bandwidth=bandwidth).fit(code.double().numpy()).score_samples(new.double().numpy())
    np.testing.assert_allclose(fitted(KernelDensity(bandwidth), code)(output(new)), -expected, rtol=1e-4)


def test_by_scotts_rule_it_is_scikit_learns_for_codes_of_spread_one() -> None:
    code = torch.randn(500, 4, generator=torch.Generator().manual_seed(0)).double()
    code = ((code - code.mean(0)) / code.std(0)).float()
    expected = SklearnDensity(bandwidth="scott").fit(code.double().numpy()).score_samples(code[:50].double().numpy())
    np.testing.assert_allclose(fitted(KernelDensity(), code)(output(code[:50])), -expected, rtol=1e-4)


@pytest.mark.parametrize("spread", [0.01, 1.0, 30.0])
def test_by_scotts_rule_it_is_scipys_in_one_dimension_whatever_the_spread(spread: float) -> None:
    code, new = spread * codes(size=1), spread * codes(30, size=1, seed=1)
    expected = gaussian_kde(code.T.double().numpy(), "scott").logpdf(new.T.double().numpy())
    np.testing.assert_allclose(fitted(KernelDensity(), code)(output(new)), -expected, rtol=1e-3, atol=1e-3)


def test_codes_far_from_the_origin_are_told_apart() -> None:
    code, new = codes(), codes(40, seed=1)
    near = fitted(KernelDensity(1.0), code)(output(new))
    far = fitted(KernelDensity(1.0), code + 1000)(output(new + 1000))
    np.testing.assert_allclose(far, near, rtol=1e-3)


def test_a_bank_may_be_a_draw() -> None:
    code, new = codes(), output(codes(40, seed=1))
    score = fitted(KernelDensity(1.0, max_codes=50), code)
    bank = score.bank + score.mean
    assert bank.shape == (50, 5)
    assert cdist(bank, code).min(1).max() < 1e-4
    expected = -SklearnDensity(bandwidth=1.0).fit(bank.double().numpy()).score_samples(new.code.double().numpy())
    np.testing.assert_allclose(score(new), expected, rtol=1e-3)
    assert torch.equal(score(new), fitted(KernelDensity(1.0, max_codes=50), code)(new))
    assert not torch.equal(score(new), fitted(KernelDensity(1.0, max_codes=50, random_state=1), code)(new))


def test_a_given_bandwidth_needs_one_code_only() -> None:
    score = fitted(KernelDensity(2.0), torch.zeros(1, 3))
    expected = 3 * np.log(2 * np.sqrt(2 * np.pi)) + 9 / 8
    assert score(output(torch.tensor([[0.0, 3.0, 0.0]]))).item() == pytest.approx(expected)


@pytest.mark.parametrize("arguments", [{"bandwidth": 0.0}, {"bandwidth": float("nan")}, {"max_codes": 0}])
def test_impossible_numbers_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(UserError, match="KernelDensity needs"):
        KernelDensity(**arguments)  # type: ignore[arg-type]


def test_state_and_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    score, new = fitted(KernelDensity(), codes()), output(codes(40, seed=1))
    assert_survives_a_checkpoint(score, KernelDensity(), new)
    assert_the_same_in_pieces(score, new)
    whole = score(new)
    monkeypatch.setattr(vector, "NUMBERS_AT_ONCE", 1000)  # three images at a time
    np.testing.assert_allclose(score(new), whole, rtol=1e-5)
