"""What summary.md says of rows made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from aeanomaly.commands.benchmark.grid import Cell, Grid
from aeanomaly.commands.benchmark.results import Row
from aeanomaly.commands.benchmark.summary import summary_md
from aeanomaly.runs.reading import Run
from tests.conftest import DEBUG

CLASSES, SEEDS = range(8), (1, 2)
BASE = np.random.default_rng(0).uniform(0.6, 0.8, len(CLASSES))
NOISE = np.random.default_rng(1).normal(0, 0.02, len(CLASSES))
WORSE = BASE - np.linspace(0.05, 0.1, len(CLASSES))


def rows_of(score: str, areas: np.ndarray, method: str = "m", **record: Any) -> list[Row]:
    """Two seeds that differ by 0.02; AUPR as AUROC, FPR95 the other way round."""
    rows = []
    for seed in SEEDS:
        for class_, area in zip(CLASSES, areas + (0.01 if seed == 1 else -0.01), strict=True):
            cell = Cell(f"{method}{class_}{seed}", method, class_, {}, seed, ())
            values = {"auroc": float(area), "aupr": float(area), "fpr95": float(1 - area)}
            rows.append(Row(cell, score, Run(Path(), record, None), values))
    return rows


def grid(**changes: Any) -> Grid:
    return Grid(base=[DEBUG], name="made", protocol="leave-one-out", classes=list(CLASSES), **changes)


def section(text: str, title: str) -> dict[str, list[str]]:
    """Cells of a table by the row's name, in its order."""
    lines = text.split(f"\n## {title}\n")[1].split("\n## ")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {name: values for name, *values in cells[2:]}


def test_bold_is_the_best_and_what_cannot_be_told_from_it() -> None:
    rows = [*rows_of("worse", WORSE), *rows_of("best", BASE), *rows_of("close", BASE + NOISE - NOISE.mean() - 0.001)]
    text = summary_md(grid(), rows, {})
    for measure in ("AUROC", "AUPR", "FPR95"):
        table = section(text, measure)
        assert list(table) == ["m best", "m close", "m worse"]  # of every measure, though FPR95 is better when lower
        assert [cells[0].startswith("**") for cells in table.values()] == [True, True, False]
        assert table["m best"][2] == "-"
    low, high = stats.ttest_1samp(BASE, 0.0).confidence_interval(0.95)
    cells = section(text, "AUROC")["m best"]
    assert cells[:2] == [f"**{BASE.mean():.4f} ± {np.std([-0.01, 0.01], ddof=1):.4f}**", f"{low:.4f} to {high:.4f}"]
    assert section(text, "AUROC")["m worse"][2] == f"{2 * 2 / 2**8:.4f}"
    assert "Nothing is bold" not in text
    assert "**" not in text.split("## AUROC by class")[1]


def test_too_few_classes_are_said_in_one_line_and_nothing_is_bold() -> None:
    rows = [row for score, areas in (("a", BASE), ("b", WORSE)) for row in rows_of(score, areas)[:5]]
    text = summary_md(grid(), rows, {})
    assert text.count("Nothing is bold: with 2 rows over 5 classes p is at least 0.062") == 3
    assert "**" not in "".join(line for line in text.splitlines() if line.startswith("| "))


def test_missing_classes_are_said_and_compared_over_the_shared_ones() -> None:
    rows = [*rows_of("best", BASE), *rows_of("late", WORSE)]
    known = [row for row in rows if row.score == "best" or row.cell.class_ in range(2, 8)]
    text = summary_md(grid(), known, {"m01": "not run yet"})
    table = section(text, "AUROC")
    assert table["m best"][-2:] == ["8 of 8", "8"]
    assert table["m late"][0] == f"{WORSE[2:].mean():.4f}"
    assert table["m late"][2:] == [f"{2 / 2**6:.4f}", "6 of 8", "6"]
    assert text.count("Some rows lack classes.") == 3
    assert "Some rows lack classes." not in summary_md(grid(), rows, {})
    few = summary_md(grid(), [row for row in rows if row.score == "best" or row.cell.class_ < 4], {})
    assert "Nothing is bold: with 2 rows over 4 classes p is at least 0.12" in few


def test_only_the_named_scores_are_shown() -> None:
    rows = [*rows_of("kmeans", WORSE), *rows_of("fusion", BASE), *rows_of("odd", BASE, method="other")]
    text = summary_md(grid(scores=["fusion"]), rows, {})
    assert list(section(text, "AUROC")) == list(section(text, "FPR95 by class")) == ["m fusion"]
    assert "Without any of the scores fusion: other." in text
    assert list(section(summary_md(grid(), rows, {}), "AUROC")) == ["m fusion", "other odd", "m kmeans"]
    assert "Without any of the scores" in summary_md(grid(scores=["fusoin"]), rows, {})


def test_a_named_score_that_nobody_has_is_said() -> None:
    assert "No finished cell has a score fusoin." in summary_md(
        grid(scores=["best", "fusoin"]), rows_of("best", BASE), {}
    )


def test_development_images_are_not_compared_with_test_images() -> None:
    rows = [*rows_of("a", WORSE), *rows_of("a", BASE, method="chosen", test_on="development")]
    text = summary_md(grid(), rows, {})
    assert list(section(text, "AUROC")) == ["m a"]
    assert list(section(text, "AUROC (development)")) == ["chosen a (development)"]


def test_one_class_has_no_table_of_means() -> None:
    rows = [row for row in [*rows_of("a", WORSE), *rows_of("b", BASE)] if row.cell.class_ == 3]
    table = section(summary_md(grid(), rows, {}), "AUROC")
    assert list(table) == ["m b", "m a"]
    assert table["m b"] == [f"{BASE[3]:.4f} ± {np.std([-0.01, 0.01], ddof=1):.4f}"]


def test_sixty_rows_stay_four_columns() -> None:
    """59 x 2 / 2^8 is far above 0.05: nothing can be told apart, and the reader is told what helps."""
    rows = [row for k in range(60) for row in rows_of(f"s{k}", WORSE * (1 - k / 1000))]
    text = summary_md(grid(), rows, {})
    table = section(text, "AUROC")
    assert len(table) == 60
    assert all(len(cells) == 3 for cells in table.values())
    assert "with 60 rows over 8 classes p is at least 0.46, so no difference can be significant. Fewer rows" in text


def test_a_threshold_that_no_cell_has_is_named() -> None:
    rows = rows_of("kmeans", BASE)
    for row in rows:
        row.values["normal_accuracy@alarm5"] = 0.95
    promises = {"alram5": 0.05, "alarm5": 0.05}
    assert "\nNo finished cell has a threshold alram5, as `promises` says.\n" in summary_md(
        grid(promises=promises), rows, {}
    )
    assert "has a threshold" not in summary_md(grid(promises={"alarm5": 0.05}), rows, {})
