"""Nets trained in two processes end with the weights of one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from aeanomaly.models.base import Autoencoder
from aeanomaly.models.convolutional import ConvolutionalAutoencoder
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.models.memory import MemoryAutoencoder
from aeanomaly.training.description import describe
from tests.processes import fitted_by_two_and_by_one
from tests.training.parts import state

# Without batch normalisation, whose statistics are those of a process, and noise, which each process draws for itself.
EXACT: dict[str, Callable[[], Autoencoder]] = {
    "dense": lambda: DenseAutoencoder((1, 8, 8), (24,), 4),
    "convolutional": lambda: ConvolutionalAutoencoder((1, 8, 8), (8, 16), 4, batch_norm=False),
    "memory": lambda: MemoryAutoencoder(DenseAutoencoder((1, 8, 8), (24,), 4), 20),
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("name", EXACT)
def test_two_processes_train_the_weights_of_one(name: str, tmp_path: Path) -> None:
    model = {"net": describe(EXACT[name]()), "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.5}}}
    file = tmp_path / "net.yaml"
    callbacks = [{"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": {"save_last": True}}]
    file.write_text(yaml.safe_dump({"model": model, "trainer": {"callbacks": callbacks}}))
    options = ["--config", str(file), "--data.batch_size", "32", "--trainer.max_epochs", "1"]
    options += ["--trainer.limit_train_batches", "36"]  # the last, of 13 images, cannot be shared evenly
    states = [state(run)["state_dict"] for run in fitted_by_two_and_by_one(options, tmp_path)]
    weights = [{key: value for key, value in each.items() if key.startswith("detector.net.")} for each in states]
    assert weights[0]
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-4, atol=1e-6)
    torch.manual_seed(9)
    start = EXACT[name]().state_dict()
    assert not all(torch.allclose(weights[1][f"detector.net.{key}"], start[key], atol=1e-3) for key in start)
