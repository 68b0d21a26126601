"""The structures that nets, scores and callbacks share."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor

from aeanomaly.outputs import Evaluation, Output


def output(images: int = 4, seed: int = 0) -> Output:
    generator = torch.Generator().manual_seed(seed)
    code, one, two = (torch.randn(images, size, generator=generator) for size in (5, 6, 7))
    return Output(code, torch.zeros(images, 1, 2, 2), torch.ones(images, 1, 2, 2), {"layer1": one, "layer2": two})


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_only_keeps_the_named_fields_and_no_others() -> None:
    whole = output()
    light = whole.only(["code", "features.layer2"])
    assert light.code is whole.code
    assert light.features == {"layer2": whole.features["layer2"]}
    assert set(light.tensors()) == {"code", "features.layer2"}


@pytest.mark.parametrize("name", ["reconstruction", "target"])
def test_a_field_that_was_not_asked_for_raises_and_says_what_to_do(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"carries no '{name}': .* `reads`"):
        getattr(output().only(["code"]), name)
    with pytest.raises(AttributeError, match=rf"carries no '{name}'"):
        output().only(["code"]).only([name])


def test_only_leaves_the_original_as_it_was() -> None:
    whole = output()
    whole.only(["features.layer1"]).features.clear()
    assert set(whole.features) == {"layer1", "layer2"}


def test_tensors_and_back() -> None:
    tensors = output().tensors()
    assert set(tensors) == {"code", "reconstruction", "target", "features.layer1", "features.layer2"}
    again = Output.from_tensors(tensors)
    assert set(again.features) == {"layer1", "layer2"}
    assert same(again.tensors(), tensors)
    assert same(output().only(tensors).tensors(), tensors)


def test_float_converts_every_field() -> None:
    half = Output.from_tensors({name: value.bfloat16() for name, value in output().tensors().items()})
    assert {value.dtype for value in half.float().tensors().values()} == {torch.float32}
    assert {value.dtype for value in half.tensors().values()} == {torch.bfloat16}


def test_a_lighter_output_can_be_copied_and_sent_to_another_process() -> None:
    light = output().only(["code", "features.layer1"])
    for again in (copy.deepcopy(light), pickle.loads(pickle.dumps(light))):
        assert same(again.tensors(), light.tensors())


def test_an_evaluation_divides_its_scores() -> None:
    evaluation = Evaluation(
        scores={"kmeans": torch.tensor([1.0, 2.0, 3.0, 4.0])},
        thresholds={"kmeans": {}},
        code=torch.zeros(4, 2),
        label=torch.tensor([0, 1, 0, 2]),
        is_anomaly=torch.tensor([True, False, True, False]),
        index=torch.arange(4),
    )
    assert evaluation.normal("kmeans").tolist() == [2.0, 4.0]
    assert evaluation.anomalous("kmeans").tolist() == [1.0, 3.0]
