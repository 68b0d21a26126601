"""No cell of results.csv is a formula, and it is read back as what it was before it was made harmless."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from aeanomaly.commands.benchmark.grid import Grid, read_grid
from aeanomaly.commands.benchmark.results import Row, kept_rows, results_csv
from aeanomaly.runs.reading import Run
from tests.commands.benchmark.small_grid import write_grid
from tests.conftest import REPOSITORY

ODD: dict[str, Any] = {
    "methods": {"=1+1": {}, "'quoted": {}, "plain": {}},
    "axes": {"@axis": ["-x", "plain", -0.5, None]},
    "classes": [0],
    "seeds": [1],
}


def grid_of(folder: Path, **changes: Any) -> Grid:
    return read_grid(Path(write_grid(folder, **{**ODD, **changes})))


def rows_of(grid: Grid) -> list[Row]:
    record = {"test_on": "test", "data_source": "whole"}
    return [Row(cell, "+score", Run(Path(), record, None), {"auroc": 0.5, "-x@y": -0.25}) for cell in grid.cells]


def test_formulas_are_harmless_and_read_back(tmp_path: Path) -> None:
    grid = grid_of(tmp_path)
    text = results_csv(grid, rows_of(grid), tmp_path)
    header, *lines = csv.reader(text.splitlines())
    assert header == ["method", "class", "'@axis", "seed", "score", "test_on", "subset", "auroc", "'-x@y"]
    assert [line[0] for line in lines] == ["''quoted"] * 4 + ["'=1+1"] * 4 + ["plain"] * 4
    assert [line[2] for line in lines[:4]] == ["'-x", "plain", "-0.5", ""]  # a number is none
    assert {(line[4], *line[7:]) for line in lines} == {("'+score", "0.5", "-0.25")}

    (tmp_path / "results.csv").write_text(text)
    kept = kept_rows(grid, tmp_path)
    assert list(kept) == [cell.name for cell in grid.cells]
    assert all((row.score, row.values) == ("+score", rows_of(grid)[0].values) for rows in kept.values() for row in rows)
    assert results_csv(grid, [], tmp_path) == text
    # Beside those of another grid, which come from the file as they are.
    plain = grid_of(tmp_path, methods={"plain": {}})
    assert sorted(results_csv(plain, rows_of(plain), tmp_path).splitlines()) == sorted(text.splitlines())


def test_a_file_of_an_earlier_version_is_read_and_made_harmless(tmp_path: Path) -> None:
    grid = grid_of(tmp_path, methods={"=1+1": {}, "plain": {}})
    text = results_csv(grid, rows_of(grid), tmp_path)
    (tmp_path / "results.csv").write_text(text.replace("'", ""))
    assert list(kept_rows(grid, tmp_path)) == [cell.name for cell in grid.cells]
    assert results_csv(grid, [], tmp_path) == text


@pytest.mark.parametrize("name", ["loo_mnist", "loo_fashion", "oneclass_mnist", "false_alarms"])
def test_published_results_stay_as_they_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    grid = read_grid(Path("configs", "benchmark", f"results_{name}.yaml"))
    folder = Path("docs", "results", name)
    assert results_csv(grid, [], folder) == (folder / "results.csv").read_text()
    assert kept_rows(grid, folder)
