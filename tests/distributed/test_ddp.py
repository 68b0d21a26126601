"""Several processes over gloo, through the command line, against one."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from aeanomaly.commands.main import main
from tests.conftest import DEBUG, REPOSITORY
from tests.processes import DDP, run_forked


def read(run: Path) -> tuple[list[dict[str, str]], dict[str, float]]:
    with (run / "test_scores.csv").open() as stream:
        return list(csv.DictReader(stream)), json.loads((run / "metrics.json").read_text())


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fit in two processes. 360 test images in batches of 359: in the second batch one process has no image."""
    root = tmp_path_factory.mktemp("ddp")
    words = [sys.executable, "-m", "aeanomaly", "fit", "--config", DEBUG]
    words += ["--config", str(REPOSITORY / "configs" / "devices" / "ddp.yaml"), "--trainer.accelerator", "cpu"]
    words += ["--trainer.max_epochs", "2", "--trainer.default_root_dir", str(root), "--data.eval_batch_size", "359"]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    assert [path.name for path in (root / "lightning_logs").iterdir()] == ["version_0"]
    return root / "lightning_logs" / "version_0"


def test_every_image_exactly_once(two_processes: Path) -> None:
    rows, metrics = read(two_processes)
    assert [int(row["index"]) for row in rows] == list(range(360))
    assert metrics["devices"] == 2
    assert len(list(two_processes.glob("events.out.tfevents.*"))) == 1


def assert_same_figures_alone(run: Path, root: Path, *options: str) -> None:
    """Test and validate the best checkpoint of a run in one process: scores and figures must be those of the run."""
    best = next((run / "checkpoints").glob("best-*.ckpt"))
    words = ["--ckpt_path", str(best), "--trainer.default_root_dir", str(root), "--trainer.num_nodes", "1"]
    words += ["--trainer.devices", "1", "--trainer.strategy", "auto", *options]
    assert main(["test", *words]) == 0
    assert main(["validate", *words]) == 0
    rows, together = read(run)
    alone_rows, alone = read(root / "lightning_logs" / "version_0")
    alone |= json.loads((root / "lightning_logs" / "version_1" / "metrics.json").read_text())
    assert [row["index"] for row in rows] == [row["index"] for row in alone_rows]
    for name in ("reconstruction", "kmeans"):
        scores = [torch.tensor([float(row[name]) for row in part]) for part in (rows, alone_rows)]
        torch.testing.assert_close(*scores, rtol=1e-5, atol=1e-5)
    compared = [name for name in together if name.startswith(("test/", "val/", "threshold/"))]
    assert {"test/auroc/reconstruction", "test/auroc/kmeans", "val/loss"} <= set(compared)
    for name in compared:
        assert together[name] == pytest.approx(alone[name], abs=1e-5 if name.startswith("threshold/") else 1e-6), name


def test_same_figures_as_one_process_with_the_same_weights(two_processes: Path, tmp_path: Path) -> None:
    assert "threshold/kmeans@alarm5" in read(two_processes)[1]
    assert_same_figures_alone(two_processes, tmp_path)


def test_scores_were_fitted_on_the_codes_of_both_processes(two_processes: Path) -> None:
    state = torch.load(two_processes / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    _, metrics = read(two_processes)
    assert int(state["detector.scores.kmeans.counts"].sum()) == metrics["val_normal"] / 2


FIXED = "{fixed: {class_path: aeanomaly.evaluation.thresholds.Fixed, init_args: {value: 3}}}"
SHARDS = {
    # 60, 60, 59 images, as many again, and the last two; divided by us, whatever Lightning is told of samplers
    "uneven": (["--data.eval_batch_size", "179", "--trainer.use_distributed_sampler", "false"], 360),
    "none for the third": (["--data", "tests.parts.FewDigits", "--data.anomaly_classes", "[0]"], 2),
}


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("case", SHARDS)
def test_three_processes_with_shards_that_differ(case: str, tmp_path: Path) -> None:
    options, images = SHARDS[case]
    if images == 2:  # one normal validation image allows no bound on false alarms
        options = [*options, "--data.val_fraction", "0.02", "--model.thresholds", FIXED]
    words = ["fit", *DDP, "--trainer.max_epochs", "2", "--trainer.default_root_dir", str(tmp_path / "three"), *options]
    processes = run_forked(words, 3, tmp_path)
    assert [process.status for process in processes] == [0] * 3, processes
    run = tmp_path / "three" / "lightning_logs" / "version_0"
    rows, metrics = read(run)
    assert [int(row["index"]) for row in rows] == list(range(images))
    assert metrics["devices"] == 3
    assert_same_figures_alone(run, tmp_path / "one")
