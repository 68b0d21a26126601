"""Each of several processes goes on with its own random numbers."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from aeanomaly.training.resuming import restore_random_state
from tests.processes import DDP, run_forked
from tests.training.parts import same, state

DENOISING = {
    "class_path": "aeanomaly.models.denoising.DenoisingAutoencoder",
    "init_args": {
        "net": {"class_path": "aeanomaly.models.dense.DenseAutoencoder", "init_args": {"hidden": [24], "code_size": 3}},
        "corruption": {"class_path": "aeanomaly.models.corruptions.GaussianNoise"},
    },
}


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_run_of_two_processes_resumed_within_an_epoch_ends_like_a_whole_one(tmp_path: Path) -> None:
    middle = tmp_path / "middle.ckpt"
    keeping = {"class_path": "tests.training.test_chunks.SaveAt", "init_args": {"step": 5, "path": str(middle)}}
    words = ["fit", *DDP, "--model.net", json.dumps(DENOISING), "--trainer.max_epochs", "1"]
    words += ["--trainer.limit_train_batches", "10", "--trainer.default_root_dir"]
    runs = []
    for name, options in (
        ("whole", ["--trainer.callbacks+", json.dumps(keeping)]),
        ("resumed", ["--ckpt_path", str(middle)]),
    ):
        processes = run_forked([*words, str(tmp_path / name), *options], 2, tmp_path)
        assert [process.status for process in processes] == [0, 0], processes
        runs.append(state(tmp_path / name / "lightning_logs" / "version_0"))
    assert runs[0]["global_step"] == runs[1]["global_step"] == 10
    first, second = torch.load(middle, weights_only=True)["random_state"]
    assert not torch.equal(first, second)
    assert same(runs[0]["state_dict"], runs[1]["state_dict"])


def test_a_checkpoint_with_the_state_of_one_process_is_taken_by_that_one() -> None:
    saved = torch.get_rng_state()
    drawn = torch.rand(3)
    restore_random_state({"random_state": saved}, 1, torch.device("cpu"))
    assert not torch.equal(torch.rand(3), drawn)
    restore_random_state({"random_state": saved}, 0, torch.device("cpu"))
    assert torch.equal(torch.rand(3), drawn)
