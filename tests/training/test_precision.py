"""Reduced precision trains; scores stay float32 and the record tells the truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import aeanomaly.training.precision
from aeanomaly.training.precision import cpu_has_bfloat16
from tests.conftest import REPOSITORY


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
