"""Reduced precision trains; scores stay float32 and the record tells the truth."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import aeanomaly.training.precision
from aeanomaly.evaluation.thresholds import FalseAlarmRate
from aeanomaly.training.module import LitAutoencoder
from aeanomaly.training.precision import cpu_has_bfloat16
from tests.conftest import REPOSITORY
from tests.every_part import scores_of
from tests.training.parts import make_data, make_module, make_trainer, same


@pytest.mark.parametrize("fragment", ["bf16", "fp16"])
def test_mixed_precision_on_the_cpu(fragment: str, fit: Callable[..., Path]) -> None:
    run = fit("--config", str(REPOSITORY / "configs" / "precision" / f"{fragment}.yaml"), "--trainer.max_epochs", "10")
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["precision"] == "bf16-mixed"  # a CPU has no float16 training
    assert metrics["test/auroc/reconstruction"] > 0.8
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert {value.dtype for value in state.values()} == {torch.float32}
    scores = [line.split(",")[3] for line in (run / "test_scores.csv").read_text().splitlines()[1:]]
    # bfloat16 has 8 significant bits: scores computed in it would often coincide.
    assert len(set(scores)) > 0.95 * len(scores)


@pytest.mark.parametrize(
    ("described", "answer"),
    [
        ("processor : 0\nflags\t\t: fpu avx512f avx512_bf16 amx_bf16\n", True),
        ("processor : 0\nflags\t\t: fpu avx2 avx512f\n", False),
        ("processor : 0\nFeatures\t: fp asimd bf16\n", True),
        ("processor : 0\nFeatures\t: fp asimd\n", False),
        ("", False),
    ],
)
def test_bfloat16_is_found_in_the_description_of_a_processor(described: str, answer: bool) -> None:
    assert cpu_has_bfloat16(described) is answer


@pytest.mark.parametrize(("in_hardware", "used"), [(True, "bf16-mixed"), (False, "32-true")])
def test_the_quickest_precision_is_what_the_hardware_has(
    in_hardware: bool, used: str, fit: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aeanomaly.training.precision, "cpu_has_bfloat16", lambda: in_hardware)
    words = ["--trainer.precision", "null", "--trainer.plugins+", "aeanomaly.training.precision.Quickest"]
    quickest, stock = fit(*words), fit("--trainer.precision", used)
    assert json.loads((quickest / "metrics.json").read_text())["precision"] == used
    states = [
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for run in (quickest, stock)
    ]
    for name, value in states[0].items():
        assert torch.equal(value.nan_to_num(), states[1][name].nan_to_num()), name


@pytest.mark.parametrize(
    ("precision", "of_the_net"),
    [("64-true", torch.float64), ("bf16-true", torch.bfloat16), ("16-true", torch.float16)],
)
def test_what_was_fitted_stays_in_float32_where_the_module_is_converted(
    precision: Any, of_the_net: torch.dtype
) -> None:
    """Lightning converts all of it at the start of the fit and again at that of the test."""
    net = make_module().net
    module = LitAutoencoder(net, scores_of(net), {"alarm": FalseAlarmRate(0.1)})
    trainer = make_trainer([], max_epochs=1, num_sanity_val_steps=0, precision=precision)
    trainer.fit(module, datamodule=make_data())
    state = {name: value.clone() for name, value in module.state_dict().items() if "detector.net" not in name}
    trainer.test(module, datamodule=make_data(), verbose=False)
    assert {value.dtype for value in state.values()} == {torch.float32}
    assert same({name: module.state_dict()[name] for name in state}, state)
    assert {values["alarm"] for values in module.evaluation().thresholds.values()}.isdisjoint({math.inf, -math.inf})
    assert {each.dtype for each in net.parameters()} == {of_the_net}
