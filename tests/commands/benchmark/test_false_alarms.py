"""The table of promised and measured false alarms, of rows made by hand and of a real grid."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import beta

from aeanomaly.commands.benchmark.grid import Cell
from aeanomaly.commands.benchmark.results import NORMALS, Row
from aeanomaly.commands.benchmark.summary import summary_md
from aeanomaly.commands.main import main
from aeanomaly.runs.reading import Run
from tests.commands.benchmark.small_grid import rows_of, write_grid
from tests.commands.benchmark.test_summary import grid, section

COUNT = 400


def row(class_: int, flagged: int) -> Row:
    cell = Cell(f"m{class_}", "m", class_, {}, 1, ())
    values = {"auroc": 0.9, "normal_accuracy@alarm5": 1 - flagged / COUNT, NORMALS: float(COUNT)}
    return Row(cell, "kmeans", Run(Path(), {}, None), values)


def test_cells_count_as_above_where_the_exact_interval_does_not_reach_the_promise() -> None:
    """The limits of Clopper and Pearson are quantiles of beta distributions."""
    flagged = (2, 11, 20, 29, 30, 60)
    above = sum(beta.ppf(0.025, k, COUNT - k + 1) > 0.05 for k in flagged)
    below = sum(beta.ppf(0.975, k + 1, COUNT - k) < 0.05 for k in flagged)
    assert above == below == 2
    text = summary_md(grid(promises={"alarm5": 0.05, "alarm1": 0.01}), [row(*pair) for pair in enumerate(flagged)], {})
    k, n = sum(flagged), COUNT * len(flagged)
    together = f"{beta.ppf(0.025, k, n - k + 1):.4f} to {beta.ppf(0.975, k + 1, n - k):.4f}"
    assert section(text, "False alarms") == {
        "m kmeans": ["alarm5", "0.05", f"{k / n:.4f}", together, "0.0050 to 0.1500", f"{above}", f"{below}"]
    }


def test_development_images_have_rows_of_their_own() -> None:
    chosen = row(0, 30)
    chosen.run.record["test_on"] = "development"
    found = section(summary_md(grid(promises={"alarm5": 0.05}), [row(0, 20), chosen], {}), "False alarms")
    assert {line: cells[2] for line, cells in found.items()} == {
        "m kmeans": f"{20 / COUNT:.4f}",
        "m kmeans (development)": f"{30 / COUNT:.4f}",
    }


@pytest.mark.parametrize("promises", [None, {}, {"alarm7": 0.07}])
def test_without_a_promise_there_is_no_table(promises: dict[str, float] | None) -> None:
    assert "False alarms" not in summary_md(grid(promises=promises), [row(0, 3)], {})


def test_a_grid_measures_its_promises(tmp_path: Path) -> None:
    path = write_grid(tmp_path, promises={"alarm5": 0.05}, classes=[0], seeds=[1])
    assert main(["benchmark", "--config", path, "--out", str(tmp_path / "out")]) == 0
    found = section((tmp_path / "out" / "summary.md").read_text(), "False alarms")
    for line in rows_of(tmp_path / "out"):
        rate = 1 - float(line["normal_accuracy@alarm5"])
        assert found[f"dense {line['score']}"][:3] == ["alarm5", "0.05", f"{rate:.4f}"]
        assert float(line[NORMALS]) == 324  # the normal images of the 8x8 digits' test split
