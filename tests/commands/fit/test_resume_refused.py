"""A fit that goes on is refused without a trace, or says what it goes on with otherwise."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aeanomaly.commands.main import main
from tests.commands.fit.test_resume import sending, status_of
from tests.conftest import PLAIN


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was interrupted in its third epoch."""
    root = tmp_path_factory.mktemp("stopped")
    words = ["fit", *PLAIN, "--trainer.max_epochs", "3", "--trainer.default_root_dir", str(root)]
    assert status_of([*words, *sending(step=2 * 37 + 5)]) == 130
    return root / "lightning_logs" / "version_0"


def contents(run: Path) -> list[tuple[str, bytes]]:
    """By their sorts: going on gives an event file whose second is not over another name."""
    files = [path for path in run.rglob("*") if path.is_file() and path.name != ".lock"]
    return sorted((path.name.partition(".tfevents")[0], path.read_bytes()) for path in files)


@pytest.mark.parametrize("resume", [True, False], ids=["--resume", "--ckpt_path"])
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--seed_everything", "3"), "seed_everything (or data.split_seed) is 3 here but 9 in the checkpoint"),
        (("--data.anomaly_classes", "[1]"), "data.anomaly_classes is [1] here but [0] in the checkpoint"),
        (("--trainer.max_epochs", "1"), "current_epoch=2, but you have set Trainer(max_epochs=1)"),
        (("--data.batch_size", "64"), "the middle of an epoch of 37 batches, which has 19 here"),
    ],
    ids=["seed", "classes", "epochs", "batches"],
)
def test_a_refused_fit_leaves_the_run_as_it_was(
    options: tuple[str, ...], says: str, resume: bool, stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(stopped / "checkpoints" / "last.ckpt", stopped / "checkpoints" / ".half.ckpt")  # of a killed process
    before = contents(stopped)
    how = ["--resume", str(stopped)] if resume else ["--ckpt_path", str(stopped / "checkpoints" / "last.ckpt")]
    assert main(["fit", *how, *options]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert contents(stopped) == before


def test_a_run_that_goes_on_with_other_batches_says_so_and_keeps_its_new_config(
    fit: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = fit("--trainer.max_epochs", "1")
    (run / "metrics.json").unlink()  # as if it had been killed after its first epoch
    capsys.readouterr()
    words = ["fit", "--resume", str(run), "--trainer.max_epochs", "2"]
    assert main([*words, "--data.batch_size", "64", "--data.eval_batch_size", "100"]) == 0
    warning = "warning: data.batch_size is 64 here but was 32 for the steps up to the checkpoint: "
    assert capsys.readouterr().err.count(warning) == 1
    config = (run / "config.yaml").read_text()
    assert "batch_size: 64\n" in config
    assert "ckpt_path" not in config


def test_training_a_finished_run_further_says_so_too(
    fit: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = fit("--trainer.max_epochs", "1")
    further = ["fit", "--ckpt_path", str(run / "checkpoints" / "last.ckpt"), "--trainer.max_epochs", "2"]
    assert main(further) == 0
    assert "warning: data" not in capsys.readouterr().err
    assert main([*further, "--data.batch_size", "16"]) == 0
    assert "warning: data.batch_size is 16 here but was 32 for" in capsys.readouterr().err
