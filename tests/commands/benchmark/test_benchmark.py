"""The benchmark command: its cells, and tables that scikit-learn agrees with."""

from __future__ import annotations

import csv
import re
import shlex
import statistics
from pathlib import Path
from typing import Any

import pytest
import yaml
from sklearn.metrics import roc_auc_score

from aeanomaly.commands.benchmark.execute import threads_of_each
from aeanomaly.commands.main import main
from tests.commands.benchmark.small_grid import CALLBACKS, rows_of, words, write_grid


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


def test_dry_run_only_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(tmp_path, "out", "--dry-run")) == 0
    shown = capsys.readouterr().out
    assert shown.count("to run") == 4
    fit = next(line.partition(": fit ")[2] for line in shown.splitlines() if "to run" in line)  # as for a shell
    options = dict(word.removeprefix("--").partition("=")[::2] for word in shlex.split(fit) if "=" in word)
    given = yaml.safe_load(options["trainer.callbacks"])
    assert [callback["class_path"] for callback in given] == [callback["class_path"] for callback in CALLBACKS]
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


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"model.net.code_siz": 3}, "Option 'code_siz' is not accepted; did you mean 'code_size'?"),
        ({"trainer.callbacks+": None}, "trainer.callbacks+ adds to a list, and got nothing"),
    ],
)
def test_a_misspelt_method_is_told_before_the_first_cell(
    settings: dict[str, Any], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = write_grid(tmp_path, methods={"good": {}, "wrong": settings})
    for more in ([], ["--dry-run"]):
        assert main(["benchmark", "--config", grid, "--out", str(tmp_path / "out"), *more]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"aeanomaly: error: {grid}: method wrong: ")
        assert says in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--workers", "--threads"])
def test_numbers_of_processes(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(tmp_path, "out", option, "0")) == 2
    assert f"{option}: expected a number from 1 to 999,999,999, got '0'" in capsys.readouterr().err


@pytest.mark.parametrize("share", ["-3", "nan", "inf", "1.5", "half"])
def test_shares_of_a_gpu(share: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(tmp_path, "out", "--backend", "ray", f"--gpus-per-cell={share}")) == 2
    assert (
        f"--gpus-per-cell: expected a number from 0 to 1, or a whole number, got '{share}'" in capsys.readouterr().err
    )


def test_a_gpu_is_kept_by_ray_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(tmp_path, "out", "--gpus-per-cell", "0.5")) == 2
    assert "--gpus-per-cell is for Ray: add --backend ray, or leave it out" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_threads_of_each_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # joblib counts no more, whatever this machine has
    for told, threads in (("3", 3), ("", 1), ("4,2", 1), ("0", 1)):
        monkeypatch.setenv("OMP_NUM_THREADS", told)
        assert threads_of_each(1) == threads
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads_of_each(1) == threads_of_each(8) == 1


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
