"""Distances of places against scikit-learn's search, and what is drawn of many images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.outputs import Output
from aeanomaly.scores.patch_knn import PatchKNN
from tests.scores.parts import assert_survives_a_checkpoint, assert_the_same_in_pieces

FIELD = "features.grid"


def output(count: int, seed: int = 0, shape: tuple[int, int, int] = (7, 4, 5)) -> Output:
    field = torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed)) + 3
    return Output.from_tensors({FIELD: field, "code": field.flatten(1)})


def fitted(count: int = 30, **options: Any) -> PatchKNN:
    score = PatchKNN(**options)
    score.fit(output(count))
    return score


def vectors(field: Tensor) -> np.ndarray:
    """(B, C, h, w) to (B h w, C), one place after the other."""
    rows = [field[image, :, y, x] for image in range(len(field)) for y in range(4) for x in range(5)]
    return torch.stack(rows).double().numpy()


@pytest.mark.parametrize("k", [1, 3])
def test_the_map_has_the_distance_of_each_place_to_all_places_of_normal_images(k: int) -> None:
    reference = NearestNeighbors(n_neighbors=k).fit(vectors(output(30).features["grid"]))
    expected = reference.kneighbors(vectors(output(9, 1).features["grid"]))[0].mean(1).reshape(9, 4, 5)
    np.testing.assert_allclose(fitted(bank="all", k=k).map(output(9, 1)), expected, rtol=1e-4)


@pytest.mark.parametrize(("top", "counted"), [(1, 1), (6, 6), (99, 20)])
def test_the_score_is_the_mean_of_the_largest_distances(top: int, counted: int) -> None:
    score, new = fitted(top=top), output(9, 1)
    expected = score.map(new).flatten(1).sort(dim=1, descending=True).values[:, :counted].mean(1)
    torch.testing.assert_close(score(new), expected)


def test_an_unusual_place_is_found_where_it_is_though_each_place_may_move() -> None:
    score, new = fitted(bank="all"), output(2)
    moved = new.features["grid"].roll((1, 2), (2, 3))
    moved[1, :, 3, 1] += 20
    places = score.map(Output.from_tensors({FIELD: moved}))
    assert places[0].max() < 1e-3
    assert int(places[1].argmax()) == 3 * 5 + 1


def test_a_core_set_of_places_is_small_and_near_all() -> None:
    size, distances = 200, {}
    for bank in ("random", "coreset"):
        score = fitted(bank=bank, size=size)
        assert score.knn.bank.shape == (size, 7)
        distances[bank] = float(score.map(output(30)).max())  # the farthest place of what it was made from
    assert distances["coreset"] < distances["random"]


def test_a_bank_goes_through_a_checkpoint_and_batches_do_not_matter() -> None:
    score, new = fitted(top=3), output(9, 1).only([FIELD])
    assert score.fitted_on == "train"
    assert_survives_a_checkpoint(score, PatchKNN(top=3), new)
    assert_the_same_in_pieces(score, new, 4)
    assert score.score(new.split([0, 9])[0]).shape == (0,)


def test_a_sample_of_many_images_does_not_depend_on_the_batches() -> None:
    score, whole = PatchKNN(candidates=100), output(30).only([FIELD])
    index = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    sample = score.sample(whole, index, 30)
    assert sample is not None
    found = sample.tensors()[FIELD]
    assert found.shape == (30, 7, 4, 1)  # 100 places of 30 images, rounded up for each
    pieces = [score.sample(piece, rows, 30) for piece, rows in zip(whole.split(7), index.split(7), strict=True)]
    assert torch.equal(found, torch.cat([piece.tensors()[FIELD] for piece in pieces if piece is not None]))
    none = score.sample(whole.split([0, 30])[0], index[:0], 30)
    assert none is not None and none.tensors()[FIELD].shape == (0, 7, 4, 1)
    # Each is a place of its image, and no place is drawn twice.
    field = whole.tensors()[FIELD].flatten(2)
    same = (found.squeeze(3).unsqueeze(3) == field.unsqueeze(2)).all(1)  # (B, drawn, places)
    assert (same.sum(2) == 1).all()
    assert same.sum(1).max() == 1
    drawn = same.int().argmax(2)
    assert len(drawn.unique(dim=0)) > 25  # not the same places in every image
    other = PatchKNN(candidates=100, random_state=1).sample(whole, index, 30)
    assert other is not None and not torch.equal(other.tensors()[FIELD], found)


def test_as_many_places_as_are_wanted_are_drawn() -> None:
    whole, index = output(30).only([FIELD]), torch.arange(30)
    one = PatchKNN(candidates=10).sample(whole, index, 30)
    assert one is not None and one.tensors()[FIELD].shape == (30, 7, 1, 1)
    assert PatchKNN(candidates=600).sample(whole, index, 30) is None  # all of them


def test_it_is_fitted_on_a_sample_as_on_places() -> None:
    score, whole = PatchKNN(candidates=100, bank="all"), output(30).only([FIELD])
    sample = score.sample(whole, torch.arange(30), 30)
    assert sample is not None
    score.fit(sample)
    assert score.knn.bank.shape == (120, 7)
    assert (score.map(whole) < 1e-5).sum() == 120  # the places that are in the bank


@pytest.mark.parametrize("options", [{"top": 0}, {"candidates": 0}, {"k": 0}, {"size": 0}, {"field": "grid"}])
def test_numbers_and_fields_that_cannot_be_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^model.scores: "):
        PatchKNN(**options)


def test_a_field_without_places_is_named() -> None:
    with pytest.raises(UserError, match=r"PatchKNN needs a field of places .* and code is of shape \(3, 140\)"):
        PatchKNN("code").fit(output(3))
