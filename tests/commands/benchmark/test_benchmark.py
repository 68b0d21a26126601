"""The benchmark command: cells, resuming after a kill, tables that scikit-learn agrees with."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from sklearn.metrics import roc_auc_score

from aeanomaly.commands.main import main
from tests.conftest import DEBUG, REPOSITORY

# Without pictures and histograms, which take as long as all the rest of so small a fit.
CALLBACKS = [
    {"class_path": "aeanomaly.callbacks.fit_scores.FitScores"},
    {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": {"monitor": "val/loss"}},
]
OVERRIDES = {
    "trainer.max_epochs": 1,
    "trainer.accelerator": "cpu",
    "trainer.devices": 1,
    "trainer.callbacks": CALLBACKS,
}
GRID = {
    "name": "tiny",
    "base": [DEBUG],
    "overrides": OVERRIDES,
    "protocol": "leave-one-out",
    "classes": [0, 1],
    "methods": {"dense": {}},
    "seeds": [1, 2],
}


def write_grid(folder: Path, **changes: object) -> str:
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump({**GRID, **changes}))
    return str(path)


def words(folder: Path, out: str, *more: str) -> list[str]:
    return ["benchmark", "--config", write_grid(folder), "--out", str(folder / out), "--threads", "1", *more]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    assert main(words(folder, "out")) == 0
    return folder / "out"


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_results_have_a_row_for_each_cell_and_score(uninterrupted: Path) -> None:
    rows = rows_of(uninterrupted)
    assert len(rows) == 2 * 2 * 2
    assert {(row["class"], row["seed"], row["score"]) for row in rows} == {
        (class_, seed, score) for class_ in "01" for seed in "12" for score in ("reconstruction", "kmeans")
    }
    for name in ("summary.md", "heatmap.png", "roc.png"):
        assert (uninterrupted / name).stat().st_size > 0
    assert len(list((uninterrupted / "summary").glob("events.out.tfevents.*"))) == 1


def cells_of(table: str, score: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(f"| dense {score} "))
    return [cell.strip() for cell in line.strip("|").split("|")[1:]]


def test_means_of_the_summary_agree_with_scikit_learn(uninterrupted: Path) -> None:
    text = (uninterrupted / "summary.md").read_text()
    means, by_class = (text.split(f"\n## {title}\n")[1].split("\n## ")[0] for title in ("AUROC", "AUROC by class"))
    for score in ("reconstruction", "kmeans"):
        found: dict[str, list[float]] = {}
        for cell in sorted((uninterrupted / "cells").iterdir()):
            with (cell / "lightning_logs" / "version_0" / "test_scores.csv").open() as stream:
                images = list(csv.DictReader(stream))
            area = roc_auc_score([int(i["is_anomaly"]) for i in images], [float(i[score]) for i in images])
            match = re.search(r"class(\d)", cell.name)
            assert match
            found.setdefault(match[1], []).append(area)
        columns = [*found.values(), [statistics.fmean(pair) for pair in zip(*found.values(), strict=True)]]
        expected = [f"{statistics.fmean(column):.4f} ± {statistics.stdev(column):.4f}" for column in columns]
        assert cells_of(by_class, score) == expected[:-1]
        assert cells_of(means, score)[0] == expected[-1]


def test_finished_cells_are_not_run_again(uninterrupted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in (uninterrupted / "cells").rglob("metrics.json")}
    assert main(words(uninterrupted.parent, "out")) == 0
    assert "4 cells, 4 finished before" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (uninterrupted / "cells").rglob("metrics.json")} == before


def test_results_are_enough_to_go_on(uninterrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the runs: one more class is run, and no line is lost, though some are of cells not in the grid."""
    out = tmp_path / "out"
    out.mkdir()
    lines = (uninterrupted / "results.csv").read_text().splitlines(keepends=True)
    gone = [line for line in lines if line.startswith("dense,1,2,")]
    (out / "results.csv").write_text("".join(line for line in lines if line not in gone))
    (out / "cells.txt").write_text((uninterrupted / "cells.txt").read_text())
    grid = write_grid(tmp_path, seeds=[2])  # the lines of seed 1 are of other cells
    assert main(["benchmark", "--config", grid, "--out", str(out), "--threads", "1"]) == 0
    assert "2 cells, 1 finished before" in capsys.readouterr().out
    assert [folder.name for folder in (out / "cells").iterdir()] == ["dense-class1-seed2"]
    assert sorted((out / "results.csv").read_text().splitlines(keepends=True)) == sorted(lines)
    assert not (out / "roc.png").exists()
    (out / "cells.txt").unlink()
    assert main(["benchmark", "--config", grid, "--out", str(out)]) == 2
    assert "results.csv but no cells.txt" in capsys.readouterr().err
    more = write_grid(tmp_path, seeds=[2], axes={"model.net.code_size": [3]})
    assert main(["benchmark", "--config", more, "--out", str(out)]) == 2
    assert "begins with the columns method, class, seed, score" in capsys.readouterr().err


def test_lines_of_a_subset_stay_where_it_is_refused(uninterrupted: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    lines = (uninterrupted / "results.csv").read_text().replace(",test,,", ",test,yes,")
    (out / "results.csv").write_text(lines)
    (out / "cells.txt").write_text((uninterrupted / "cells.txt").read_text())
    assert main(words(tmp_path, "out")) == 1
    assert (out / "results.csv").read_text() == lines
    assert "Trained on a subset" not in (out / "summary.md").read_text()
    assert main(words(tmp_path, "out", "--allow-subset")) == 0
    assert (out / "results.csv").read_text() == lines


def test_dry_run_only_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(tmp_path, "out", "--dry-run")) == 0
    shown = capsys.readouterr().out
    assert shown.count("to run") == 4
    assert not (tmp_path / "out").exists()


def test_failed_cell_is_reported_and_does_not_stop_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    methods = {"broken": {"model.optimizer.lr": -1}, "good": {}}
    grid = write_grid(tmp_path, methods=methods, classes=[0], seeds=[1])
    assert main(["benchmark", "--config", grid, "--out", str(tmp_path / "out"), "--threads", "1"]) == 1
    shown = capsys.readouterr().out
    assert "failed: broken-class0-seed1: model.optimizer or model.lr_scheduler: Invalid learning rate: -1" in shown
    assert (tmp_path / "out" / "cells" / "broken-class0-seed1" / "log.txt").is_file()
    assert {row["method"] for row in rows_of(tmp_path / "out")} == {"good"}
    assert "broken-class0-seed1" in (tmp_path / "out" / "summary.md").read_text()


def test_two_grids_in_one_folder_are_refused(uninterrupted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_grid(uninterrupted.parent, overrides={"trainer.max_epochs": 3})
    assert main(["benchmark", "--config", other, "--out", str(uninterrupted)]) == 2
    assert "with other settings" in capsys.readouterr().err


def children(pid: int) -> list[int]:
    command = ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = []
    for line in listing.splitlines():
        child, parent, what = line.split(None, 2)
        if int(parent) == pid and "LokyProcess" in what:
            found.append(int(child))
    return found


@pytest.mark.parametrize("victim", ["worker", "parent"])
def test_killed_and_resumed_ends_like_uninterrupted(victim: str, uninterrupted: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "aeanomaly", *words(tmp_path, "out", "--workers", "2")]
    # A group of its own, so that whatever the parent leaves behind can be stopped.
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + 100
        while not list((tmp_path / "out" / "cells").glob("*/lightning_logs")):  # somebody is at work
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        workers = children(process.pid)
        assert workers
        os.kill(workers[0] if victim == "worker" else process.pid, signal.SIGKILL)
        status = process.wait(timeout=120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if victim == "worker":
        assert status == 0  # the cells of the dead worker were run again
    else:
        assert main(words(tmp_path, "out")) == 0
    assert (tmp_path / "out" / "results.csv").read_text() == (uninterrupted / "results.csv").read_text()


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is missing: pip install 'aeanomaly[ray]'")
def test_on_ray_as_without(uninterrupted: Path, tmp_path: Path) -> None:
    """Ray is started for real on this machine, in a process of its own, with which Ray's processes end."""
    command = [sys.executable, "-m", "aeanomaly", *words(tmp_path, "out", "--backend", "ray", "--workers", "2")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out" / "results.csv").read_text() == (uninterrupted / "results.csv").read_text()


def test_ctrl_c_ends_a_benchmark_of_one_worker_and_it_goes_on(uninterrupted: Path, tmp_path: Path) -> None:
    callbacks = [*CALLBACKS, {"class_path": "tests.processes.SleepInFit"}]
    grid = write_grid(tmp_path, overrides={**OVERRIDES, "trainer.callbacks": callbacks})
    benchmark = ["benchmark", "--config", grid, "--out", str(tmp_path / "out"), "--threads", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "aeanomaly", *benchmark],
        cwd=REPOSITORY,
        env={**os.environ, "SLEEP_IN_FIT": "10"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background jobs of a shell ignore it
    )
    try:
        deadline = time.monotonic() + 100
        while not list((tmp_path / "out" / "cells").glob("*/lightning_logs/version_0/config.yaml")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        shown, _ = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert "Interrupted: cells in flight are lost" in shown
    assert main(benchmark) == 0
    assert (tmp_path / "out" / "results.csv").read_text() == (uninterrupted / "results.csv").read_text()


def test_edited_config_is_another_setting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = tmp_path / "base.yaml"
    base.write_text(Path(DEBUG).read_text().replace("callbacks.yaml", str(Path(DEBUG).with_name("callbacks.yaml"))))
    grid = ["benchmark", "--config", write_grid(tmp_path, base=[str(base)], classes=[0], seeds=[1])]
    assert main([*grid, "--out", str(tmp_path / "out"), "--threads", "1"]) == 0
    base.write_text(f"# A remark.\n{base.read_text()}")
    assert main([*grid, "--out", str(tmp_path / "out")]) == 0
    assert "1 cells, 1 finished before" in capsys.readouterr().out
    base.write_text(base.read_text().replace("lr: 0.005", "lr: 0.001"))
    assert main([*grid, "--out", str(tmp_path / "out"), "--threads", "1"]) == 2
    assert "with other settings" in capsys.readouterr().err


def test_lines_of_development_images_are_marked_and_kept_apart(tmp_path: Path) -> None:
    methods = {"chosen": {"data.test_on": "development"}, "reported": {}}
    grid = write_grid(tmp_path, methods=methods, classes=[0], seeds=[1], keep_checkpoints=False)
    assert main(["benchmark", "--config", grid, "--out", str(tmp_path / "out"), "--threads", "1"]) == 0
    assert not list(tmp_path.rglob("*.ckpt"))
    assert {(row["method"], row["test_on"]) for row in rows_of(tmp_path / "out")} == {
        ("chosen", "development"),
        ("reported", "test"),
    }
    shown = (tmp_path / "out" / "summary.md").read_text()
    assert shown.count("**(development): tested on training images") == 1
    assert shown.count("\n| chosen kmeans (development) |") == shown.count("\n| reported kmeans |") == 3


def test_checkpoints_of_cells_are_kept_unless_told_otherwise(uninterrupted: Path) -> None:
    assert len(list(uninterrupted.glob("cells/*/lightning_logs/version_0/checkpoints/*.ckpt"))) >= 4


def test_summary_of_test_images_does_not_speak_of_development(uninterrupted: Path) -> None:
    assert "development" not in (uninterrupted / "summary.md").read_text()
