"""Every score fitted and computed in two processes is that of one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import yaml

from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.models.variational import VariationalAutoencoder
from aeanomaly.training.description import describe
from tests.distributed.test_ddp import read
from tests.every_part import SCORES, scores_of
from tests.processes import fitted_by_two_and_by_one


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_every_score_of_two_processes_is_that_of_one(tmp_path: Path) -> None:
    """The net offers whatever a score reads, and is not trained, so that both runs fit to the same weights."""
    net = VariationalAutoencoder(DenseAutoencoder((1, 8, 8), (24, 16), 12), 4)
    scores = scores_of(net)
    assert scores.keys() == SCORES.keys()
    model = {
        "net": describe(net),
        "scores": describe(scores),
        "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 1e-30}},
    }
    file = tmp_path / "every_score.yaml"
    callbacks = [{"class_path": "aeanomaly.callbacks.run_record.RunRecord"}]  # nothing that draws
    file.write_text(yaml.safe_dump({"model": model, "trainer": {"callbacks": callbacks}}))
    # Of 360 test images in batches of 359, one process has none in the second batch.
    options = ["--config", str(file), "--data.eval_batch_size", "359", "--trainer.max_epochs", "1"]
    (rows, together), (rows_alone, alone) = map(read, fitted_by_two_and_by_one(options, tmp_path))
    assert (together["devices"], alone["devices"]) == (2, 1)
    for name in scores:
        found, expected = (torch.tensor([float(row[name]) for row in part]) for part in (rows, rows_alone))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.std().item(), msg=name)
        limits = [values[f"threshold/{name}@alarm5"] for values in (together, alone)]
        assert limits[0] == pytest.approx(limits[1], rel=1e-4, abs=1e-4 * expected.std().item()), name
