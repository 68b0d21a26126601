"""The one-class support vector machine against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.svm import OneClassSVM as SklearnSVM

from aeanomaly.errors import UserError
from aeanomaly.scores import vector
from aeanomaly.scores.ocsvm import OneClassSVM
from tests.scores.parts import assert_survives_a_checkpoint, assert_the_same_in_pieces, codes, fitted, output


@pytest.mark.parametrize(("nu", "gamma"), [(0.1, "scale"), (0.5, "scale"), (0.05, 0.02), (0.2, 3.0)])
def test_the_score_is_minus_the_decision_function(nu: float, gamma: float | str) -> None:
    code, new = codes(), torch.cat([codes(40, seed=1), codes(5, seed=2) + 20])
    expected = SklearnSVM(nu=nu, gamma=gamma).fit(code.double().numpy())
    score = fitted(OneClassSVM(nu, gamma), code)  # type: ignore[arg-type]
    assert len(score.support) == len(expected.support_)
    np.testing.assert_allclose(score(output(new)), -expected.decision_function(new.double().numpy()), atol=1e-3)


def test_about_nu_of_the_codes_lie_outside() -> None:
    outside = (fitted(OneClassSVM(0.2), codes())(output(codes())) > 0).float().mean().item()
    assert outside == pytest.approx(0.2, abs=0.05)


def test_it_is_fitted_on_no_more_codes_than_asked_for() -> None:
    code, new = codes(1000), output(codes(40, seed=1))
    score = fitted(OneClassSVM(0.9, max_codes=100), code)
    assert 90 <= len(score.support) <= 100
    assert torch.equal(score(new), fitted(OneClassSVM(0.9, max_codes=100), code)(new))
    assert not torch.equal(score(new), fitted(OneClassSVM(0.9, max_codes=100, random_state=1), code)(new))


def test_codes_that_are_all_the_same_have_a_boundary_as_in_scikit_learn() -> None:
    code = torch.full((20, 3), 2.0)
    new = torch.tensor([[2.0, 2.0, 2.0], [3.0, 2.0, 2.0]])
    expected = SklearnSVM(nu=0.1).fit(code.numpy()).decision_function(new.numpy())
    np.testing.assert_allclose(fitted(OneClassSVM(), code)(output(new)), -expected, atol=1e-5)
    assert expected[0] > expected[1] + 0.1


@pytest.mark.parametrize("arguments", [{"nu": 0.0}, {"nu": 1.0}, {"gamma": 0.0}, {"max_codes": 1}])
def test_impossible_numbers_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(UserError, match="OneClassSVM needs"):
        OneClassSVM(**arguments)  # type: ignore[arg-type]


def test_state_and_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    score, new = fitted(OneClassSVM(), codes()), output(codes(40, seed=1))
    assert_survives_a_checkpoint(score, OneClassSVM(), new)
    assert_the_same_in_pieces(score, new)
    whole = score(new)
    monkeypatch.setattr(vector, "NUMBERS_AT_ONCE", 100)
    np.testing.assert_allclose(score(new), whole, atol=1e-5)
