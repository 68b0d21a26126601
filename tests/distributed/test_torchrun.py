"""Two torchrun agents on this machine, as two nodes of one process each, over gloo with rendezvous on loopback."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from tests.distributed.test_ddp import assert_same_figures_alone, read
from tests.distributed.test_failing_process import failing
from tests.processes import DDP, Ended, free_port, run_commands

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="looks after process groups")]

# Of 360 test images in batches of 359, one node has none in the second batch. The checkpoint of every epoch is kept.
KEEP_ALL = {"filename": "all-{epoch:02d}", "save_top_k": -1}
FIT = [*DDP, "--trainer.max_epochs", "2", "--data.eval_batch_size", "359", "--trainer.callbacks+"]
FIT += [json.dumps({"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": KEEP_ALL})]


def two_nodes(options: list[str], folder: Path) -> list[Ended]:
    """The same command under both agents."""
    agent = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    agent += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}", "--local-addr", "127.0.0.1"]
    nodes = ["--trainer.num_nodes", "2", "--trainer.devices", "1", "--trainer.default_root_dir", str(folder)]
    folder.mkdir(exist_ok=True)
    return run_commands([[*agent, "-m", "aeanomaly", "fit", *options, *nodes]] * 2, folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fit on two nodes."""
    folder = tmp_path_factory.mktemp("torchrun")
    for ended in two_nodes(FIT, folder):
        assert ended.status == 0, ended.said
        # Lightning warns of a second ModelCheckpoint, which only this test has.
        assert ended.said.count("Warning") == ended.said.count("multiple `ModelCheckpoint` callbacks"), ended.said
    return folder / "lightning_logs" / "version_0"


def test_one_run_directory(run: Path) -> None:
    assert [path.name for path in run.parent.iterdir()] == ["version_0"]
    assert len(list(run.glob("events.out.tfevents.*"))) == 1
    assert {"config.yaml", "metrics.json", "test_scores.csv"} <= {path.name for path in run.iterdir()}
    assert (run / "checkpoints" / "last.ckpt").is_file()


def test_every_image_once_and_figures_of_one_process(run: Path, tmp_path: Path) -> None:
    rows, metrics = read(run)
    assert [int(row["index"]) for row in rows] == list(range(360))
    assert metrics["devices"] == 2
    assert_same_figures_alone(run, tmp_path)


def test_node_that_fails_ends_the_other_and_the_run_can_be_resumed(run: Path, tmp_path: Path) -> None:
    """The failing node says why, in its own words and in torchrun's; the other loses its connection, and ends too."""
    both = two_nodes([*FIT, *failing(1, "on_validation_batch_start", "mistake", epoch=1)], tmp_path)
    assert all(ended.status for ended in both), both
    said = [ended.said for ended in both if "aeanomaly: error: a mistake on one device" in ended.said]
    assert len(said) == 1, both
    assert "a mistake on one device" in said[0].partition("Root Cause")[2], said

    run_dir = tmp_path / "lightning_logs" / "version_0"
    last = run_dir / "checkpoints" / "last.ckpt"
    assert not (run_dir / "checkpoints" / "all-epoch=01.ckpt").exists()
    assert [ended.status for ended in two_nodes([*FIT, "--ckpt_path", str(last)], tmp_path)] == [0, 0]
    assert list(run_dir.parent.iterdir()) == [run_dir]
    whole, resumed = (
        torch.load(folder / "checkpoints" / "all-epoch=01.ckpt", weights_only=True)["state_dict"]
        for folder in (run, run_dir)
    )
    for name, weights in whole.items():
        torch.testing.assert_close(resumed[name], weights, rtol=0, atol=0, equal_nan=True, msg=name)
