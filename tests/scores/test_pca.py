"""The error of principal components against numpy's singular values and scikit-learn's inverse transform."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import decomposition

from aeanomaly.errors import UserError
from aeanomaly.scores.pca import PCA
from tests.scores.parts import assert_survives_a_checkpoint, assert_the_same_in_pieces, codes, fitted, images, output


@pytest.mark.parametrize("n_components", [1, 3, 0.5, 0.9])
def test_the_score_is_the_squared_error_of_scikit_learns_reconstruction(n_components: int | float) -> None:
    code, new = codes(size=8), torch.cat([codes(40, 8, seed=1), codes(5, 8, seed=2) + 20])
    estimator = decomposition.PCA(n_components).fit(code.double().numpy())
    rows = new.double().numpy()
    expected = ((rows - estimator.inverse_transform(estimator.transform(rows))) ** 2).sum(1)
    np.testing.assert_allclose(fitted(PCA(n_components, "code"), code)(output(new)), expected, rtol=1e-3, atol=1e-3)


def test_a_share_takes_as_many_components_as_explain_it() -> None:
    code = codes(size=8)
    variance = np.linalg.svd((code - code.mean(0)).double().numpy(), compute_uv=False) ** 2
    explained = variance.cumsum() / variance.sum()
    assert len(fitted(PCA(0.8, "code"), code).components) == (explained < 0.8).sum() + 1


def test_what_lies_off_the_plane_of_normal_images_is_anomalous() -> None:
    plane = torch.randn(100, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([5.0, 3.0, 0.0])
    score = fitted(PCA(2, "code"), plane)
    assert score(output(torch.tensor([[9.0, 9.0, 0.0], [0.0, 0.0, 2.0]]))).tolist() == pytest.approx([0, 4], abs=1e-3)


def test_images_are_seen_as_they_are_and_components_are_no_more_than_images() -> None:
    score, seen = PCA(50), images(6)
    score.fit(seen)
    assert score.components.shape == (6, 180)
    assert score(seen).abs().max() < 1e-4


@pytest.mark.parametrize("n_components", [0, 1.0, 1.5, -2])
def test_impossible_numbers_are_refused(n_components: int | float) -> None:
    with pytest.raises(UserError, match="PCA needs n_components="):
        PCA(n_components)


def test_state_and_pieces() -> None:
    score, new = fitted(PCA(2, "code"), codes()), output(codes(40, seed=1))
    assert_survives_a_checkpoint(score, PCA(3, "code"), new)
    assert_the_same_in_pieces(score, new)


def test_what_leaves_no_error_is_refused() -> None:
    with pytest.raises(UserError, match="5 components of 5 numbers leave no error"):
        fitted(PCA(8, "code"), codes())
    with pytest.raises(UserError, match="the same in every normal image"):
        fitted(PCA(1, "code"), torch.ones(20, 5))
