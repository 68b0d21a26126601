"""The KMeans score against scikit-learn and against its definition."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.metrics.pairwise import cosine_distances
from torch import Tensor, nn

from aeanomaly.errors import UserError
from aeanomaly.outputs import Output
from aeanomaly.scores.kmeans import KMeans


def codes(count: int = 300, size: int = 5, seed: int = 0) -> Tensor:
    """Codes in a few lumps, away from the origin."""
    generator = torch.Generator().manual_seed(seed)
    lumps = 20 * torch.randn(4, size, generator=generator) + 50
    return lumps[torch.randint(4, (count,), generator=generator)] + torch.randn(count, size, generator=generator)


def output(code: Tensor) -> Output:
    return Output.from_tensors({"code": code})


def fitted(code: Tensor, n_clusters: int = 9) -> KMeans:
    score = KMeans(n_clusters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # scikit-learn's own warnings do not reach the user
        score.fit(output(code))
    return score


@pytest.mark.parametrize(("n_clusters", "random_state", "n_init"), [(9, 9, 10), (3, 0, 1)])
def test_centres_are_those_of_scikit_learn(n_clusters: int, random_state: int, n_init: int) -> None:
    score = KMeans(n_clusters, random_state, n_init)
    score.fit(output(codes()))
    expected = SklearnKMeans(n_clusters, random_state=random_state, n_init=n_init).fit(codes().numpy())
    np.testing.assert_allclose(score.centres, expected.cluster_centers_, rtol=1e-6)
    assert score.counts.tolist() == np.bincount(expected.labels_).tolist()


def test_the_score_is_the_squared_distance_to_the_nearest_centre() -> None:
    score, new = fitted(codes()), codes(40, seed=1)
    found = score(output(new))
    expected = [
        min(sum((c - m) ** 2 for c, m in zip(code, centre, strict=True)) for centre in score.centres.tolist())
        for code in new.tolist()
    ]
    assert found.shape == (40,)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_an_image_at_a_centre_scores_zero_even_far_from_the_origin() -> None:
    score = fitted(codes() + 1e4)
    assert score(output(score.centres)).tolist() == [0.0] * 9


def test_there_are_no_more_clusters_than_codes() -> None:
    score = fitted(codes(4), n_clusters=9)
    assert score.centres.shape == (4, 5)
    assert score(output(codes(4))).max() < 1e-6


def test_empty_clusters_are_reported() -> None:
    distinct = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    (problem,) = fitted(distinct.repeat(20, 1), n_clusters=5).problems()
    assert "2 of 5 clusters are empty" in problem
    assert fitted(codes()).problems() == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_codes_that_are_not_finite_are_refused(bad: float) -> None:
    code = codes()
    code[7, 2] = bad
    with pytest.raises(UserError, match="not finite"):
        KMeans().fit(output(code))


def test_no_codes_are_refused() -> None:
    with pytest.raises(UserError, match="no normal validation image"):
        KMeans().fit(output(torch.empty(0, 5)))


@pytest.mark.parametrize("arguments", [{"n_clusters": 0}, {"n_init": 0}, {"n_clusters": -3}])
def test_impossible_numbers_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(UserError, match="at least 1"):
        KMeans(**arguments)


def test_fitted_tells_whether_the_score_can_be_used() -> None:
    score = KMeans()
    assert not score.fitted
    score.fit(output(codes()))
    assert score.fitted


def test_fitted_state_survives_a_checkpoint() -> None:
    trained, stream = nn.ModuleDict({"kmeans": fitted(codes())}), io.BytesIO()
    torch.save(trained.state_dict(), stream)
    stream.seek(0)
    fresh = KMeans(n_clusters=2)  # the size comes from the checkpoint
    nn.ModuleDict({"kmeans": fresh}).load_state_dict(torch.load(stream, weights_only=True))
    assert fresh.fitted
    new = output(codes(seed=1))
    assert torch.equal(fresh(new), trained["kmeans"](new))
    assert fresh.problems() == []


def test_an_unfitted_state_stays_unfitted() -> None:
    fresh = KMeans()
    fresh.load_state_dict(KMeans().state_dict())
    assert not fresh.fitted


def test_refitting_replaces_what_was_learned() -> None:
    score = fitted(codes(), n_clusters=9)
    score.fit(output(codes(3, size=2, seed=1)))
    assert score.centres.shape == (3, 2)
    assert score.counts.tolist() == [1, 1, 1]


@pytest.mark.parametrize("n_clusters", [9, 40])
def test_cosine_is_one_minus_the_cosine_to_the_nearest_centre(n_clusters: int) -> None:
    generator = torch.Generator().manual_seed(3)
    code, new = (torch.randn(count, 6, generator=generator) for count in (300, 50))
    score = KMeans(n_clusters, metric="cosine")
    score.fit(output(code))
    unit = code / code.norm(dim=1, keepdim=True)
    reference = SklearnKMeans(n_clusters, random_state=9, n_init=10).fit(unit.numpy())
    assert score.counts.tolist() == np.bincount(reference.labels_, minlength=n_clusters).tolist()
    expected = cosine_distances(new.double().numpy(), reference.cluster_centers_.astype(float)).min(1)
    np.testing.assert_allclose(score(output(new)), expected, rtol=1e-4, atol=1e-6)


def test_cosine_is_blind_to_the_length_of_codes_and_never_negative() -> None:
    score = KMeans(4, metric="cosine")
    score.fit(output(codes() - 50))
    new = codes(40, seed=1) - 50
    np.testing.assert_allclose(score(output(1000 * new)), score(output(new)), atol=1e-6)
    assert score(output(7 * score.centres)).tolist() == pytest.approx([0.0] * 4, abs=1e-6)
    assert (score(output(7 * score.centres)) >= 0).all()
    assert score(output(torch.zeros(1, 5))).tolist() == [1.0]


def test_distances_are_the_same_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    score, new = fitted(codes()), output(codes(40, seed=1))
    whole = score(new)
    monkeypatch.setattr("aeanomaly.scores.kmeans.NUMBERS_AT_ONCE", 200)  # 4 images at a time
    assert torch.equal(score(new), whole)
