"""Nets trained in two processes end with the weights of one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from aeanomaly.commands.main import main
from aeanomaly.models.base import Autoencoder
from aeanomaly.models.convolutional import ConvolutionalAutoencoder
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.models.memory import MemoryAutoencoder
from aeanomaly.training.description import describe
from tests.conftest import PLAIN
from tests.processes import DDP, run_forked

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
    words = ["fit", *DDP, *options, "--trainer.default_root_dir", str(tmp_path / "two")]
    processes = run_forked(words, 2, tmp_path, limit=150)
    assert [process.status for process in processes] == [0, 0], processes
    assert main(["fit", *PLAIN, *options, "--trainer.default_root_dir", str(tmp_path / "one")]) == 0
    states = [
        torch.load(next((tmp_path / part).rglob("last.ckpt")), weights_only=True)["state_dict"]
        for part in ("two", "one")
    ]
    weights = [{key: value for key, value in state.items() if key.startswith("detector.net.")} for state in states]
    assert weights[0]
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-4, atol=1e-6)
    torch.manual_seed(9)
    start = EXACT[name]().state_dict()
    assert not all(torch.allclose(weights[1][f"detector.net.{key}"], start[key], atol=1e-3) for key in start)
