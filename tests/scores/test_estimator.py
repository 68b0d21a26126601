"""Outlier detectors of scikit-learn and PyOD as scores, against the same detectors called directly."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor

from aeanomaly.errors import UserError
from aeanomaly.scores import estimator
from aeanomaly.scores.estimator import Estimator
from tests.scores.parts import assert_survives_a_checkpoint, assert_the_same_in_pieces, codes, fitted, output

FOREST = "sklearn.ensemble.IsolationForest"
SEEDED: dict[str, Any] = {"n_estimators": 20, "random_state": 4}
NETS = {
    "pyod.models.auto_encoder.AutoEncoder": {"epoch_num": 2, "device": "cpu"},
    "pyod.models.vae.VAE": {"epoch_num": 2, "device": "cpu"},
    "pyod.models.deep_svdd.DeepSVDD": {"epochs": 2},
}
ALL_OF_A_NET = {"random_state": 3, "verbose": 0}


def new_codes() -> torch.Tensor:
    return torch.cat([codes(40, seed=1), codes(5, seed=2) + 40])


@pytest.mark.parametrize(
    ("path", "options", "kind"),
    [
        (FOREST, SEEDED, IsolationForest),
        ("sklearn.neighbors.LocalOutlierFactor", {"novelty": True}, LocalOutlierFactor),
    ],
)
def test_of_scikit_learn_it_is_minus_the_decision_function(path: str, options: dict[str, Any], kind: Any) -> None:
    expected = -kind(**options).fit(codes().numpy()).decision_function(new_codes().numpy())
    found = fitted(Estimator(path, options), codes()).score(output(new_codes()))
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found, expected.astype(np.float32))
    assert found[40:].min() > found[:40].max()


@pytest.mark.parametrize("path", NETS)
def test_of_pyod_it_is_the_decision_function(path: str) -> None:
    pytest.importorskip("pyod", reason="needs PyOD: pip install 'aeanomaly[pyod]'")
    options = NETS[path] | ALL_OF_A_NET
    kind = estimator._imported(path)
    with torch.random.fork_rng():
        n_features = {"n_features": 5} if "DeepSVDD" in path else {}
        np.random.seed(9)
        torch.manual_seed(9)
        random.seed(9)
        reference = kind(**n_features, **options)
        np.random.seed(9)
        torch.manual_seed(9)
        reference.fit(codes().numpy())
        torch.manual_seed(9)
        expected = reference.decision_function(new_codes().numpy())
    with torch.inference_mode():  # as in a validation, where nets are not trained otherwise
        score = fitted(Estimator(path, options), codes())
        found = score.score(output(new_codes()))
    np.testing.assert_array_equal(found, expected.astype(np.float32))
    assert found[40:].min() > found[:40].median()
    assert_survives_a_checkpoint(score, Estimator(path, options), output(new_codes()))


def test_state_and_pieces() -> None:
    score, new = fitted(Estimator(FOREST, SEEDED), codes()), output(new_codes())
    assert_survives_a_checkpoint(score, Estimator(FOREST, SEEDED), new)
    assert_the_same_in_pieces(score, new)


def test_a_detector_without_seed_repeats_and_global_random_numbers_go_on_as_before() -> None:
    new = output(new_codes())
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # type: ignore[union-attr]
    first, second = (fitted(Estimator(FOREST, {"n_estimators": 5}), codes())(new) for _ in range(2))
    assert torch.equal(first, second)
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]  # type: ignore[union-attr]
    assert torch.equal(torch.get_rng_state(), before[2])
    assert not torch.equal(first, fitted(Estimator(FOREST, {"n_estimators": 5}, random_state=1), codes())(new))


def test_it_is_fitted_again_for_other_rows_only(monkeypatch: pytest.MonkeyPatch) -> None:
    score, new = fitted(Estimator(FOREST, SEEDED), codes()), output(new_codes())
    other = fitted(Estimator(FOREST, SEEDED), codes(seed=7))
    fits: list[int] = []
    fit = IsolationForest.fit
    monkeypatch.setattr(IsolationForest, "fit", lambda self, *a: fits.append(len(a[0])) or fit(self, *a))
    score.load_state_dict(score.state_dict())
    score(new)
    assert fits == []
    score.load_state_dict(other.state_dict())
    assert torch.equal(score(new), other(new))
    score(new)
    assert fits == [300]


def test_it_is_fitted_on_no_more_rows_than_asked_for() -> None:
    score = fitted(Estimator(FOREST, SEEDED, at_most=50), codes())
    assert score.rows.shape == (50, 5)
    assert all((row == codes()).all(1).any() for row in score.rows)
    assert len(fitted(Estimator(FOREST, SEEDED, at_most=None), codes()).rows) == 300


@pytest.mark.parametrize(
    ("path", "options", "says"),
    [
        ("sklearn.ensemble.IsolationWood", {}, "Estimator cannot import 'sklearn.ensemble.IsolationWood'"),
        ("sklearn.nothing.Forest", {}, "Estimator cannot import 'sklearn.nothing.Forest'"),
        ("Forest", {}, "Estimator cannot import 'Forest'"),
        ("no_such_package.Forest", {}, "needs the package no_such_package, which is missing"),
        (FOREST, {"trees": 3}, "does not take its options: .*'trees'"),
        ("sklearn.svm.SVC", {}, "SVC is no outlier detector"),
        ("os.getcwd", {}, "getcwd is no outlier detector"),
        ("sklearn.neighbors.LocalOutlierFactor", {}, "is no outlier detector .* that judges new images"),
    ],
)
def test_mistakes_are_named_before_anything_is_trained(path: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Estimator(path, options)


def test_without_pyod_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'pyod'", name="pyod")

    monkeypatch.setattr(estimator.importlib, "import_module", missing)
    monkeypatch.setattr(estimator.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"VAE needs the package pyod, which is missing: pip install 'aeanomaly\[pyod\]'"
    ):
        Estimator("pyod.models.vae.VAE")


def test_what_a_detector_refuses_is_named() -> None:
    with pytest.raises(UserError, match=r"IsolationForest cannot be fitted to \[300, 5\] rows: .*n_estimators"):
        fitted(Estimator(FOREST, {"n_estimators": -1}), codes())
    with pytest.raises(UserError, match="at_most=1"):
        Estimator(FOREST, at_most=1)


def test_a_device_without_images_gets_no_scores() -> None:
    score = fitted(Estimator(FOREST, SEEDED), codes())
    assert score.score(output(codes()[:0])).shape == (0,)
