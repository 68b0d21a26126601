"""What docs/results tells: the tables are of results.csv, by the configs as they are, and the page quotes them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from aeanomaly.commands.benchmark.command import _check_out, _settings
from aeanomaly.commands.benchmark.grid import Grid, read_grid
from aeanomaly.commands.benchmark.results import Row, collect, table_of
from aeanomaly.commands.benchmark.summary import summary_md
from tests.conftest import REPOSITORY
from tests.textures import KINDS

FOLDER = REPOSITORY / "docs" / "results"
TABLES = sorted(path.parent.name for path in FOLDER.glob("*/results.csv"))
FOLDERS = {
    "MNIST, leave one out": "loo_mnist",
    "MNIST, one class": "oneclass_mnist",
    "Fashion-MNIST, leave one out": "loo_fashion",
    "AUROC, each digit left out": "nets_loo_mnist",
}
SURFACES = ("grey_untrained", "grey", "colour")  # columns of the table of surfaces, whose rows are the kinds in turn
QUOTING = ("Beside what was published", "What the best recipe does", "Every net and score")
PAGE = (REPOSITORY / "docs" / "results.md").read_text()


@pytest.fixture(autouse=True)
def _among_the_configs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


def kept(name: str) -> tuple[Grid, list[Row]]:
    grid = read_grid(REPOSITORY / "configs" / "benchmark" / f"results_{name}.yaml")
    return grid, collect(grid, FOLDER / name, allow_subset=False)


@pytest.mark.parametrize("name", TABLES)
def test_the_summary_is_that_of_the_values(name: str) -> None:
    grid, rows = kept(name)
    done = {row.cell.name for row in rows}
    missing = {cell.name: "" for cell in grid.cells if cell.name not in done}
    assert (FOLDER / name / "summary.md").read_text() == summary_md(grid, rows, missing)


@pytest.mark.parametrize("name", TABLES)
def test_the_values_were_made_by_the_configs_as_they_are(name: str, tmp_path: Path) -> None:
    """Who changes what a config says runs its tables again."""
    shutil.copy(FOLDER / name / "cells.txt", tmp_path)
    _check_out(tmp_path, _settings(kept(name)[0]))


def test_the_page_quotes_the_tables() -> None:
    for heading in QUOTING:
        quoted = 0
        columns, *rows = re.findall(r"^\|(.+)\|$", PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0], re.MULTILINE)
        for row in rows:
            method, *values = (cell.strip() for cell in row.split("|"))
            ours = re.fullmatch(r"`(\w+)`, (\w+)", method)
            for column, value in zip(columns.split("|")[1:], values, strict=True):
                if ours is not None:
                    line = table_of(kept(FOLDERS[column.strip()])[1], "auroc").get(" ".join(ours.groups()))
                    known = line is not None and line["mean"].n == 10
                    assert value == (f"{line['mean'].mean:.3f}" if line and known else "-"), (method, column)
                    quoted += known
        assert quoted, heading


def test_the_page_quotes_the_table_of_surfaces() -> None:
    table = table_of(kept("textures")[1], "auroc")
    _, *rows = re.findall(r"^\| (\w.+) \|$", PAGE.split("\n## Surfaces\n")[1].split("\n## ")[0], re.MULTILINE)
    assert len(rows) == len(KINDS)
    for number, row in enumerate(rows):
        _, *values = row.split(" | ")
        assert values == [f"{table[f'{method} fusion'][str(number)].mean:.3f}" for method in SURFACES], row
