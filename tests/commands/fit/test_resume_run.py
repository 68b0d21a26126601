"""``fit --resume``: a run whose process was killed ends like one that was left alone, in the same directory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from aeanomaly.commands.main import main
from aeanomaly.runs.checkpoints import checkpoint_to_resume, go_back_to
from performance.endings import differences
from tests.commands.fit.test_resume import sending, status_of
from tests.conftest import DEBUG
from tests.processes import run_alone

EPOCH = 37  # steps


@pytest.fixture(scope="module")
def uninterrupted(fit: Callable[..., Path]) -> Path:
    return fit("--trainer.max_epochs", "4", config=["--config", DEBUG])


def words(root: Path, *options: str) -> list[str]:
    return ["fit", "--config", DEBUG, "--trainer.max_epochs", "4", "--trainer.default_root_dir", str(root), *options]


def dying(callback: str, **options: int) -> list[str]:
    spec = {"class_path": f"tests.processes.{callback}", "init_args": options}
    return ["--trainer.callbacks+", json.dumps(spec)]


@pytest.mark.parametrize(
    "death",
    [
        dying("DieInFit", step=20),  # before the first checkpoint: from the start
        dying("DieInFit", step=2 * EPOCH + 20),
        dying("DieInTest"),
    ],
    ids=["epoch 1", "epoch 3", "test"],
)
def test_a_killed_run_goes_on(
    death: list[str], uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_step_a_call = ["--model.steps_per_call", "1"]  # as many as the callback that kills leaves
    assert run_alone(words(tmp_path, *death, *one_step_a_call)) == -9
    run = tmp_path / "lightning_logs" / "version_0"
    config = run / "config.yaml"  # without the callback that kills, which has had its way
    config.write_text((uninterrupted / "config.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "--resume"]) == 0
    assert [path.name for path in run.parent.iterdir()] == ["version_0"]
    assert differences(run, uninterrupted) == []


@pytest.mark.parametrize("step", [2 * EPOCH, 4 * EPOCH])
def test_a_signal_in_the_last_step_of_an_epoch_loses_no_validation(
    step: int, uninterrupted: Path, tmp_path: Path
) -> None:
    assert status_of(words(tmp_path, *sending(step=step, number=15))) == 143
    run = tmp_path / "lightning_logs" / "version_0"
    (run / "config.yaml").write_text((uninterrupted / "config.yaml").read_text())
    assert main(["fit", "--resume", str(run)]) == 0
    assert differences(run, uninterrupted) == []


def test_an_interrupted_run_that_was_moved_goes_on(uninterrupted: Path, tmp_path: Path) -> None:
    """At a step whose training loss is due, and after an epoch that was the best so far."""
    assert status_of(words(tmp_path / "here", *sending(step=EPOCH + 13))) == 130
    shutil.move(tmp_path / "here", tmp_path / "there")
    run = tmp_path / "there" / "lightning_logs" / "version_0"
    shutil.copy(uninterrupted / "checkpoints" / "best-epoch=03.ckpt", run / "checkpoints")  # as if killed after it
    (run / "config.yaml").write_text((uninterrupted / "config.yaml").read_text())
    assert main(["fit", "--resume", str(run)]) == 0
    assert differences(run, uninterrupted) == []


def test_what_is_made_again_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name, steps in (("best-epoch=00", EPOCH), ("last", 2 * EPOCH), ("best-epoch=02", 3 * EPOCH), (".half", 0)):
        content = {"state_dict": {}, "pytorch-lightning_version": "2.6", "global_step": steps}
        torch.save(content, folder / f"{name}.ckpt")
    assert checkpoint_to_resume(tmp_path) == folder / "last.ckpt"
    go_back_to(folder / "last.ckpt")
    assert sorted(path.name for path in folder.iterdir()) == ["best-epoch=00.ckpt", "last.ckpt"]
    (folder / "last.ckpt").unlink()
    assert checkpoint_to_resume(tmp_path) == folder / "best-epoch=00.ckpt"


def test_mistakes(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def error(*options: str) -> str:
        capsys.readouterr()
        assert main(["fit", *options]) == 2
        return capsys.readouterr().err

    assert "there is no unfinished run in lightning_logs" in error("--resume")
    assert "there is no folder 'gone'" in error("--resume", "gone")
    assert "is not the folder of a run, lightning_logs/version_N" in error("--resume", ".")
    assert "is finished; to train it further: python -m aeanomaly fit --ckpt_path" in error(f"--resume={uninterrupted}")
    assert "takes config and checkpoint from the run" in error("--resume", "--config", DEBUG)
    run = tmp_path / "lightning_logs" / "version_3"
    run.mkdir(parents=True)
    assert "has no config.yaml" in error("--resume", str(run))
    assert "there is no unfinished run in" in error("--resume")
    for deeper in ("sweep_dense/trial_001", "benchmark_small/cells/dense-class0-seed1"):  # those go on by their command
        other = tmp_path / "lightning_logs" / deeper / "lightning_logs" / "version_4"
        (other / "checkpoints").mkdir(parents=True)
        shutil.copy(uninterrupted / "config.yaml", other)
    trial = tmp_path / "lightning_logs" / "version_5"
    shutil.copytree(other, trial)
    (trial / "metrics.json").write_text('{"trial": "pruned"}')
    assert "there is no unfinished run in" in error("--resume")
    shutil.copy(uninterrupted / "config.yaml", run)
    with FileLock(run / ".lock"):
        assert "another process is at work in lightning_logs/version_3" in error("--resume")
    assert sorted(path.name for path in run.iterdir()) == [".lock", "config.yaml"]
