"""A benchmark goes on from what is there: finished runs, or results.csv alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from aeanomaly.commands.main import main
from tests.commands.benchmark.small_grid import words, write_grid
from tests.conftest import DEBUG


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


def test_two_grids_in_one_folder_are_refused(uninterrupted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_grid(uninterrupted.parent, overrides={"trainer.max_epochs": 3})
    assert main(["benchmark", "--config", other, "--out", str(uninterrupted)]) == 2
    assert "with other settings" in capsys.readouterr().err


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
