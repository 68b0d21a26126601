"""What scores of one vector per image share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from scipy.spatial.distance import cdist

from aeanomaly.errors import UserError
from aeanomaly.outputs import Output
from aeanomaly.scores import vector
from aeanomaly.scores.density import KernelDensity
from aeanomaly.scores.gmm import GaussianMixture
from aeanomaly.scores.kmeans import KMeans
from aeanomaly.scores.knn import KNN
from aeanomaly.scores.mahalanobis import Mahalanobis
from aeanomaly.scores.ocsvm import OneClassSVM
from aeanomaly.scores.patch_knn import PatchKNN
from aeanomaly.scores.pca import PCA
from aeanomaly.scores.vector import VectorScore, by_distances
from tests.scores.parts import codes, output

OF_FIELD: dict[str, Callable[[str], VectorScore]] = {
    "kmeans": lambda field: KMeans(field=field),
    "gmm": lambda field: GaussianMixture(3, field=field),
    "mahalanobis": lambda field: Mahalanobis([field]),
    "density": lambda field: KernelDensity(field=field),
    "ocsvm": lambda field: OneClassSVM(field=field),
}
every_score = pytest.mark.parametrize("make", OF_FIELD.values(), ids=OF_FIELD)


@pytest.mark.parametrize("kind", [KMeans, GaussianMixture, KernelDensity, OneClassSVM, PCA, KNN, PatchKNN])
@pytest.mark.parametrize("seed", [-1, 2**32])
def test_what_is_no_seed_is_refused_before_a_fit(kind: Callable[..., VectorScore], seed: int) -> None:
    with pytest.raises(UserError, match=rf"needs a random_state from 0 to 2\*\*32 - 1, got {seed}"):
        kind(random_state=seed)


@every_score
def test_a_layer_with_places_is_scored_as_its_numbers_are_as_a_code(make: Callable[[str], VectorScore]) -> None:
    values = codes(200, 8)
    layer = Output.from_tensors({"features.layer2": values.view(200, 2, 2, 2), "code": torch.zeros(200, 3)})
    of_layer, of_code = make("features.layer2"), make("code")
    assert of_layer.reads == ("features.layer2",)
    of_layer.fit(layer.only(of_layer.reads))
    of_code.fit(output(values))
    found = of_layer.score(layer.only(of_layer.reads))
    assert torch.equal(found, of_code.score(output(values)))
    assert found.std() > 0


@every_score
def test_a_name_of_no_field_is_refused(make: Callable[[str], VectorScore]) -> None:
    for wrong in ("layer2", "features", "again.again.code", "codes", ""):
        with pytest.raises(UserError, match=r"cannot read .*; name code, reconstruction, target or features"):
            make(wrong)
    for right in ("target", "again.code", "again.features.layer2", "features.block.0"):
        assert make(right).reads == (right,)


@every_score
def test_codes_that_cannot_be_learned_from_are_refused(make: Callable[[str], VectorScore]) -> None:
    kind = type(make("code")).__name__
    with pytest.raises(UserError, match=rf"{kind} cannot be fitted: there is no normal (training|validation) image"):
        make("code").fit(output(torch.empty(0, 5)))
    for bad in (float("nan"), float("inf")):
        code = codes()
        code[7, 2] = bad
        with pytest.raises(UserError, match=rf"{kind} cannot be fitted: codes are not finite"):
            make("code").fit(output(code))
        with pytest.raises(UserError, match=rf"{kind} cannot be fitted: values of target are not finite"):
            make("target").fit(Output.from_tensors({"target": code}))


@pytest.mark.parametrize("make", [OF_FIELD[name] for name in ("gmm", "mahalanobis", "density", "ocsvm")])
def test_one_code_is_not_enough(make: Callable[[str], VectorScore]) -> None:
    with pytest.raises(UserError, match="only 1 normal training image, at least 2 needed"):
        make("code").fit(output(codes(1)))


@pytest.mark.parametrize("make", [OF_FIELD[name] for name in ("mahalanobis", "density")])
def test_codes_without_any_spread_are_refused(make: Callable[[str], VectorScore]) -> None:
    with pytest.raises(UserError, match="the same in every normal image"):
        make("code").fit(output(codes(1).expand(50, 5)))


def test_several_fields_are_joined() -> None:
    score, code = Mahalanobis(["code", "features.a"]), codes(20, 7)
    whole = Output.from_tensors({"code": code[:, :3], "features.a": code[:, 3:].view(20, 2, 2)})
    assert torch.equal(score.vectors(whole), code)


def test_a_draw_repeats_with_its_seed_and_takes_no_code_twice() -> None:
    score, code = Mahalanobis(), torch.arange(100.0).unsqueeze(1)
    first, again, other = (score.normal_vectors(output(code), at_most=30, seed=seed).flatten() for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(set(first.tolist())) == 30
    assert torch.equal(score.normal_vectors(output(code), at_most=100), code)


@pytest.mark.parametrize("at_once", [1, 100, 2**24])
def test_distances_are_those_of_scipy_however_many_are_made_at_once(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector, "NUMBERS_AT_ONCE", at_once)
    few, bank = codes(9) - 50, codes(40, seed=1) - 50
    sizes = []

    def sums(distances: torch.Tensor) -> torch.Tensor:
        sizes.append(len(distances))
        return distances.sqrt_().sum(1)

    found = by_distances(few, bank, sums)
    assert found.tolist() == pytest.approx(cdist(few, bank).sum(1).tolist(), rel=1e-5)
    assert sizes == {1: [1] * 9, 100: [2, 2, 2, 2, 1], 2**24: [9]}[at_once]
