"""What the tests of training share: small fits by a plain Trainer, and states to compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from aeanomaly.data.sources.digits import Digits
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.training.module import LitAutoencoder


class CountSteps(L.Callback):
    """Counts the hooks of single steps."""

    def __init__(self) -> None:
        self.steps = 0

    def on_before_optimizer_step(self, *_: Any) -> None:
        self.steps += 1


def state(run: Path, name: str = "last.ckpt") -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(run / "checkpoints" / name, weights_only=True)
    return checkpoint


def same(one: Any, other: Any) -> bool:
    """Whether two nested states are equal, bit for bit."""
    if isinstance(one, Tensor):
        return torch.equal(one.nan_to_num(), other.nan_to_num())
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(run))
    events.Reload()
    return {tag: [(point.step, point.value) for point in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def make_module(steps: int | Literal["auto"] = "auto") -> LitAutoencoder:
    torch.manual_seed(3)
    net = DenseAutoencoder((1, 8, 8), hidden=(24,), code_size=3)
    return LitAutoencoder(net, steps_per_call=steps)


def make_data() -> Digits:
    return Digits(anomaly_classes=[0], batch_size=32, split_seed=9)


def make_trainer(callbacks: list[L.Callback], **options: Any) -> L.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    quiet |= {"enable_checkpointing": False, "accelerator": "cpu", "devices": 1}
    return L.Trainer(callbacks=callbacks, **(quiet | options))  # type: ignore[arg-type]
