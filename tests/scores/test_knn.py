"""The nearest-neighbour score against scikit-learn's search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.outputs import Output
from aeanomaly.scores.knn import KNN


def rows(count: int, size: int = 12, seed: int = 0) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed)) + 3


def output(code: Tensor) -> Output:
    return Output.from_tensors({"code": code})


def fitted(code: Tensor, **options: Any) -> KNN:
    score = KNN(**options)
    score.fit(output(code))
    return score


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("count", [3, 63, 64, 700, 1000])  # fewer than k, around a block, blocks and a rest
def test_distances_are_those_of_scikit_learn(metric: Any, count: int) -> None:
    bank, new = rows(count), rows(50, seed=1)
    k = min(5, count)
    reference = NearestNeighbors(n_neighbors=k, metric=metric, algorithm="brute").fit(bank.double().numpy())
    expected = reference.kneighbors(new.double().numpy())[0].mean(1)
    np.testing.assert_allclose(fitted(bank, metric=metric)(output(new)), expected, rtol=1e-4)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("count", [2, 4, 700])  # fewer than k others, and many
def test_distances_by_local_scale_are_those_of_scikit_learn(metric: Any, count: int) -> None:
    bank, new = rows(count), rows(50, seed=1)
    k = min(5, count)
    search = NearestNeighbors(n_neighbors=k, metric=metric, algorithm="brute").fit(bank.double().numpy())
    others = search.kneighbors(n_neighbors=min(5, count - 1))[0]  # of the bank itself, each without itself
    distances, nearest = search.kneighbors(new.double().numpy())
    expected = (distances / np.sqrt(others.mean(1))[nearest]).mean(1)
    np.testing.assert_allclose(fitted(bank, metric=metric, local=0.5)(output(new)), expected, rtol=1e-4)


def test_an_anomaly_among_dense_images_is_found_beside_scattered_ones() -> None:
    dense, scattered = 0.01 * rows(300, size=4), 3 * rows(300, size=4, seed=1) + 50
    anomaly, normal = dense.mean(0, keepdim=True) + 0.1, 3 * rows(100, size=4, seed=2) + 50
    bank, seen = torch.cat([dense, scattered]), torch.cat([anomaly, normal])
    plain, local = (fitted(bank, metric="euclidean", local=power)(output(seen)) for power in (0.0, 1.0))
    assert (plain[0] < plain[1:]).all()
    assert (local[0] > local[1:]).all()


def test_images_that_are_there_many_times_leave_scales_finite() -> None:
    same = rows(1).expand(20, -1)
    assert torch.isfinite(fitted(torch.cat([same, rows(50, seed=1)]), local=1.0)(output(rows(9, seed=2)))).all()
    for bank in (same, rows(1)):  # nothing to measure by
        torch.testing.assert_close(fitted(bank, local=1.0)(output(rows(9))), fitted(bank)(output(rows(9))))


def test_far_from_the_origin_small_distances_stay_exact() -> None:
    bank = rows(500) + 1000
    new = bank[:20] + 0.01
    expected = np.full(20, 0.01 * np.sqrt(12))
    np.testing.assert_allclose(fitted(bank, metric="euclidean", k=1)(output(new)), expected, rtol=0.02)


def test_an_image_of_the_bank_is_at_no_distance_from_itself() -> None:
    assert fitted(rows(200), k=1)(output(rows(200))).abs().max() < 1e-6


def test_chunks_change_nothing() -> None:
    score, new = fitted(rows(300)), rows(KNN.chunk * 2 + 3, seed=2)
    torch.testing.assert_close(score.score(output(new)), score(output(new)))


def test_a_field_is_read_by_its_name() -> None:
    score = KNN(field="features.layer1")
    assert score.reads == ("features.layer1",)
    both = {"code": rows(30), "features.layer1": rows(30, seed=3)}
    score.fit(Output.from_tensors(both))
    assert score(Output.from_tensors(both)).max() < 0.3


@pytest.mark.parametrize("bank", ["random", "kmeans", "coreset"])
def test_a_bank_that_is_a_part_is_of_its_size_and_repeats(bank: Any) -> None:
    first, second = (fitted(rows(400), bank=bank, size=40).bank for _ in range(2))
    assert first.shape == (40, 12)
    assert torch.equal(first, second)
    assert len(fitted(rows(30), bank=bank, size=40).bank) == 30
    assert not torch.equal(first, fitted(rows(400), bank=bank, size=40, random_state=1).bank)
    torch.testing.assert_close(first.norm(dim=1), torch.ones(40))
    if bank != "kmeans":
        whole = torch.nn.functional.normalize(rows(400), dim=1)
        assert all((row == whole).all(1).any() for row in first)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("bank", ["random", "kmeans", "coreset"])
def test_distances_to_a_part_are_those_of_scikit_learn(bank: Any, metric: Any) -> None:
    score, new = fitted(rows(400), bank=bank, size=40, metric=metric), rows(50, seed=1)
    reference = NearestNeighbors(n_neighbors=5, metric=metric, algorithm="brute").fit(
        (score.bank + score.centre).numpy()
    )
    np.testing.assert_allclose(score(output(new)), reference.kneighbors(new.numpy())[0].mean(1), rtol=1e-3, atol=1e-5)


def test_a_core_set_is_the_greedy_choice_of_the_farthest() -> None:
    code = rows(60, size=3)
    score = fitted(code, bank="coreset", size=7, metric="euclidean")
    chosen = (score.bank + score.centre).double()
    for number in range(1, 7):
        distances = torch.cdist(code.double(), chosen[:number]).amin(1)
        added = torch.cdist(chosen[number : number + 1], chosen[:number]).min()
        assert float(added) == pytest.approx(float(distances.max()), abs=1e-5)


def test_centres_of_kmeans_stand_for_their_lumps() -> None:
    lumps = 10 * torch.eye(4)
    code = lumps.repeat(50, 1) + 0.1 * rows(200, size=4, seed=5)
    centres = fitted(code, bank="kmeans", size=4, metric="euclidean")
    assert torch.cdist(lumps, centres.bank + centres.centre).amin(1).max() < 1


@pytest.mark.parametrize("local", [0.0, 0.5])
def test_a_fitted_bank_goes_through_a_checkpoint(local: float) -> None:
    score, other = fitted(rows(90), local=local), KNN(local=local)
    assert not other.fitted
    other.load_state_dict(score.state_dict())
    assert other.fitted
    assert torch.equal(other(output(rows(9))), score(output(rows(9))))


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (torch.empty(0, 3), "KNN cannot be fitted: there is no normal training image"),
        (torch.full((2, 3), torch.nan), "not finite"),
    ],
)
def test_what_cannot_be_fitted_is_named(code: Tensor, says: str) -> None:
    with pytest.raises(UserError, match=says):
        fitted(code)
    with pytest.raises(UserError, match="k=0"):
        KNN(k=0)
    with pytest.raises(UserError, match="local=2 from 0 to 1"):
        KNN(local=2)
