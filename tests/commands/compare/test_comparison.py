"""Columns, rows and order of a comparison."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import pytest

from aeanomaly.commands.compare.formats import to_table
from aeanomaly.commands.comparison.columns import choose_metrics, differing, higher_is_better, match_one
from aeanomaly.commands.comparison.table import Comparison, compare_runs, sort_rows
from aeanomaly.errors import UserError
from aeanomaly.runs.hyperparameters import short_key
from aeanomaly.runs.reading import Run

AUROC = "test/auroc/kmeans"


def run(
    number: int,
    auroc: float | None = 0.5,
    values: dict[str, float] | None = None,
    settings: dict[str, Any] | None = None,
) -> Run:
    record = {} if auroc is None else {AUROC: auroc}
    flat = {"seed": number, "model.net.code_size": 5, "model.optimizer.lr": 0.01}
    return Run(Path(f"logs/version_{number}"), record | (values or {}), flat | (settings or {}))


def names(comparison: Comparison) -> list[str]:
    return [row["run"].removeprefix("version_") for row in comparison.rows]


# columns


def test_metrics_by_name_ending_and_pattern() -> None:
    values = dict.fromkeys(
        ["val/loss", "val/auroc/kmeans", "test/auroc/gmm", "test/aupr/kmeans", "test/normal_accuracy/kmeans@35"], 0.5
    )
    runs = [run(0, values=values), run(1, values={"fit_seconds": 3.0})]
    assert choose_metrics(runs) == ["test/auroc/gmm", AUROC, "fit_seconds"]
    for wanted, expected in {
        "auroc": ["test/auroc/gmm", AUROC],
        "auroc/kmeans": [AUROC],
        "val/auroc": ["val/auroc/kmeans"],
        "loss": ["val/loss"],
        "fit_seconds": ["fit_seconds"],
        "*kmeans": ["test/aupr/kmeans", AUROC],
        "*accuracy*@35": ["test/normal_accuracy/kmeans@35"],
        "val/*": ["val/auroc/kmeans", "val/loss"],
    }.items():
        assert choose_metrics(runs, [wanted]) == expected, wanted
    assert choose_metrics(runs, ["loss", "auroc", "auroc/gmm"]) == ["val/loss", "test/auroc/gmm", AUROC]
    with pytest.raises(UserError, match="'aurok'; did you mean 'auroc'"):
        choose_metrics(runs, ["aurok"])
    with pytest.raises(UserError, match=r"there are: .*val/loss"):
        choose_metrics(runs, ["xyz"])
    assert choose_metrics([run(0, None)], ["auroc"]) == []  # nothing finished yet is no mistake


def test_without_anomalies_there_is_no_auroc_but_other_values() -> None:
    assert choose_metrics([run(0, None, {"test/normal_accuracy/kmeans@35": 0.9, "seed": 1})]) == [
        "test/normal_accuracy/kmeans@35"
    ]


def test_only_what_differs() -> None:
    assert differing([{"a": 1, "b": 2.0}, {"a": 1.0, "b": 3, "c": "x"}, None]) == ["b", "c"]
    assert differing([{"a": math.nan}, {"a": float("nan")}]) == []
    assert differing([{"a": 1}]) == differing([None, {"a": 1}]) == differing([]) == []


def test_headings_are_as_short_as_is_unambiguous() -> None:
    known = ["seed", "model.net.class", "data.class", "model.net.code_size", "model.net.lr", "model.optimizer.lr"]
    known += ["model.thresholds.1.value", "model.scores.1.n_clusters"]
    assert [short_key(key, known) for key in known] == [
        "seed",
        "net.class",
        "data.class",
        "code_size",
        "net.lr",
        "optimizer.lr",
        "thresholds.1.value",
        "n_clusters",
    ]
    for key in known:
        assert match_one("hyperparameter", short_key(key, known), known) == key
    with pytest.raises(UserError, match=r"may be any of: model\.net\.lr, model\.optimizer\.lr"):
        match_one("hyperparameter", "lr", known)
    with pytest.raises(UserError, match="did you mean 'code_size'"):
        match_one("hyperparameter", "code_sise", known)


def test_columns_are_the_hyperparameters_that_differ_between_the_rows_shown() -> None:
    unfinished = run(2, None, settings={"model.optimizer.lr": 5.0})
    comparison = compare_runs([run(0), run(1, settings={"data.source": "disk"}), unfinished])
    assert comparison.keys == ["seed", "data.source"]
    assert [row["runs"] for row in comparison.aside] == [[str(unfinished.path)]]
    assert compare_runs([run(0)]).keys == []


def test_the_cost_alone_puts_no_unfinished_run_into_the_table() -> None:
    runs = [run(0, values={"fit_seconds": 3.0}), run(1, None, {"fit_seconds": 4.0})]
    assert names(compare_runs(runs)) == ["0"]
    assert names(compare_runs(runs, metrics=["fit_seconds"])) == ["0", "1"]


# order


@pytest.mark.parametrize(
    ("metric", "up"),
    [
        ("test/auroc/kmeans", True),
        ("test/aupr/kmeans", True),
        ("test/normal_accuracy/kmeans@35", True),
        ("train_images_per_second", True),
        ("test/fpr95/kmeans", False),
        ("val/loss", False),
        ("fit_seconds", False),
        ("threshold/kmeans@alarm5", None),
    ],
)
def test_which_way_is_better(metric: str, up: bool | None) -> None:
    assert higher_is_better(metric) is up


@pytest.mark.parametrize(
    ("column", "forward", "backward"),
    [
        ("auroc/kmeans", "2 0 10 3 4", "10 0 2 3 4"),
        ("kmeans", "2 0 10 3 4", "10 0 2 3 4"),
        ("fit_seconds", "10 2 0 3 4", "0 2 10 3 4"),
        ("run", "0 2 3 4 10", "10 4 3 2 0"),
        ("code_size", "10 0 2 3 4", "0 2 3 10 4"),
        ("model.net.code_size", "10 0 2 3 4", "0 2 3 10 4"),
        ("lr", "0 10 2 3 4", "0 10 2 3 4"),  # the same in all that have it: nothing to sort
    ],
)
def test_metrics_best_first_and_missing_last_either_way(column: str, forward: str, backward: str) -> None:
    runs = [
        run(0, 0.5, {"fit_seconds": 30.0}),
        run(10, 0.1, {"fit_seconds": 10.0}, settings={"model.net.code_size": 2}),
        run(2, 0.9, {"fit_seconds": 20.0}),
        run(3, math.nan, {"fit_seconds": math.inf}),
        Run(Path("logs/version_4"), {AUROC: math.nan}, None),
    ]
    for reverse, expected in ((False, forward), (True, backward)):
        comparison = compare_runs(runs)
        sort_rows(comparison, column, reverse)
        assert " ".join(names(comparison)) == expected


def test_numbers_before_words() -> None:
    comparison = compare_runs(
        [run(i, settings={"model.norm": value}) for i, value in enumerate(["none", 10, "b2", 9.5, "b10"])]
    )
    sort_rows(comparison, "norm")
    assert names(comparison) == ["3", "1", "2", "4", "0"]


def test_a_column_that_is_not_there() -> None:
    comparison = compare_runs([run(0), run(1, values={"test/aupr/kmeans": 0.1})], metrics=["auroc", "aupr"])
    with pytest.raises(UserError, match=r"no column 'x'; columns: run, auroc/kmeans, aupr/kmeans, seed$"):
        sort_rows(comparison, "x")
    with pytest.raises(UserError, match="'kmeans' may be any of"):
        sort_rows(comparison, "kmeans")
    with pytest.raises(UserError, match="no column 'n'"):
        sort_rows(comparison, "n")


# groups


def test_runs_that_differ_only_in_seed_become_one_row() -> None:
    runs = [run(n, 0.5 + n / 10, settings={"model.net.code_size": 2 if n < 3 else 8}) for n in range(5)]
    unknown = Run(Path("logs/version_7"), {AUROC: 0.1}, None)
    comparison = compare_runs([*runs, unknown], group_by=[])
    assert names(comparison) == ["0 +2", "3 +1", "7"]  # what has no config goes with nothing
    assert [row[AUROC].n for row in comparison.rows] == [3, 2, 1]
    assert comparison.rows[0][AUROC].std == pytest.approx(statistics.stdev([0.5, 0.6, 0.7]))
    assert comparison.keys == ["model.net.code_size"]
    assert comparison.notes == ["mean ± sample standard deviation over n runs that differ in: seed"]


def test_a_row_for_each_combination_of_given_hyperparameters() -> None:
    runs = [run(n, n / 10, settings={"model.net.code_size": n % 2, "model.optimizer.lr": n / 10}) for n in range(4)]
    comparison = compare_runs(runs, group_by=["code_size"])
    assert names(comparison) == ["0 +1", "1 +1"]
    assert [row[AUROC].mean for row in comparison.rows] == pytest.approx([0.1, 0.2])
    assert comparison.keys == ["model.net.code_size"]
    assert comparison.notes[0].endswith("differ in: seed, model.optimizer.lr")
    assert names(compare_runs(runs, group_by=["code_size", "optimizer.lr"])) == ["0", "1", "2", "3"]
    # a key by which is grouped is a column even if there is one group only
    assert compare_runs(runs[:1], group_by=["seed"]).keys == ["seed"]
    with pytest.raises(UserError, match="hyperparameter 'nothing'"):
        compare_runs(runs, group_by=["nothing"])


def test_groups_are_sorted_by_mean_or_size() -> None:
    runs = [run(n, a, settings={"model.net.code_size": c}) for n, (a, c) in enumerate([(0.1, 1), (0.9, 2), (0.4, 2)])]
    comparison = compare_runs(runs, group_by=[])
    sort_rows(comparison, "kmeans")
    assert names(comparison) == ["1 +1", "0"]
    sort_rows(comparison, "n")
    assert names(comparison) == ["0", "1 +1"]


def test_a_run_that_repeats_another_is_pointed_out() -> None:
    comparison = compare_runs([run(1), run(2, settings={"seed": 1}), run(3)], group_by=[])
    assert comparison.notes[1:] == ["version_2 has the settings and seed of version_1; both count"]
    assert comparison.rows[0][AUROC].n == 3
    unseeded = compare_runs([run(1, settings={"seed": "false"}), run(2, settings={"seed": "false"})], group_by=[])
    assert unseeded.notes == []


def test_a_value_that_a_run_of_the_group_lacks_is_counted() -> None:
    comparison = compare_runs([run(1, values={"fit_seconds": 2.0}), run(2), run(3, math.nan)], group_by=[])
    cells = [next(iter(column.cells)) for column in to_table(comparison, 9).columns]
    assert [str(cell) for cell in cells] == ["version_1 +2", "3", "0.5000 ± 0.0000 (2)", "2 (1)"]


def test_the_best_is_bold() -> None:
    comparison = compare_runs([run(0, 0.5), run(1, 0.75), run(2, math.nan)])
    cells = list(to_table(comparison, 9).columns[1].cells)
    assert [getattr(cell, "style", "") for cell in cells] == ["", "bold", ""]
    alone = to_table(compare_runs([run(0, 0.5)]), 9)
    assert list(alone.columns[1].cells) == ["0.5000"]
