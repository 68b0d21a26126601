"""A comparison as CSV, JSON and Markdown."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.compare.parts import make_run, read_csv, run_ok, table_rows


@pytest.mark.usefixtures("troubled")
def test_files_hold_every_run_in_full_precision(capsys: pytest.CaptureFixture[str]) -> None:
    precise = 0.8123456789012345
    make_run(Path("lightning_logs/version_11"), precise)
    lines = {line["run"].rpartition("_")[2]: line for line in read_csv(run_ok(capsys, "--csv"))}
    assert len(lines) == 12
    assert float(lines["11"]["test/auroc/kmeans"]) == precise
    assert lines["0"]["status"] == "ok"
    assert lines["0"]["model.net.code_size"] == "2"
    assert (lines["5"]["status"], lines["5"]["test/auroc/kmeans"]) == ("broken", "")
    assert {lines[number]["status"] for number in ("6", "9", "10")} == {"unfinished"}
    assert math.isnan(float(lines["7"]["test/auroc/kmeans"]))
    assert "no config.yaml" in lines["8"]["reason"]

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    objects = json.loads(run_ok(capsys, "--json"), parse_constant=refuse)
    by_run = {entry["run"].rpartition("_")[2]: entry for entry in objects}
    assert set(by_run) == set(lines)
    assert by_run["11"]["metrics"] == {"test/auroc/kmeans": precise, "fit_seconds": 12.5}
    assert by_run["0"]["hyperparameters"] == {"seed": 1, "model.net.code_size": 2}
    assert by_run["7"]["metrics"]["test/auroc/kmeans"] is None
    assert by_run["5"]["metrics"] == {}
    assert all(entry["reason"] for entry in objects if entry["status"] != "ok")


@pytest.mark.usefixtures("troubled")
def test_markdown_is_a_table_and_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    text = run_ok(capsys, "--markdown")
    table, _, notes = text.partition("\n\n")
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]
    assert cells[0] == ["run", "auroc/kmeans", "fit_seconds", "seed", "code_size"]
    assert cells[1] == ["---", "---:", "---:", "---", "---"]
    assert cells[2] == ["version_0", "0.8000", "12.5", "1", "2"]
    assert len(cells) == 2 + 7
    assert sum(line.startswith("- version_") for line in notes.splitlines()) == 6


def test_bars_in_values_do_not_break_markdown(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = logs / "version_0" / "config.yaml"
    config.write_text(config.read_text().replace("a|b", "c|d"))
    assert r"c\|d" in run_ok(capsys, "--markdown")


@pytest.mark.usefixtures("logs")
def test_files_are_written_beside_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    text = run_ok(capsys, "--csv", "out/runs.csv", "--json", "runs.json", "--markdown", "runs.md")
    assert len(table_rows(text)) == 5
    assert [line for line in text.splitlines() if line.startswith("Written: ")] == [
        "Written: out/runs.csv",
        "Written: runs.md",
        "Written: runs.json",
    ]
    assert len(read_csv(Path("out/runs.csv").read_text())) == 5
    assert len(json.loads(Path("runs.json").read_text())) == 5
    assert Path("runs.md").read_text().startswith("| run |")


def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    for number in range(3):
        make_run(tmp_path / f"version_{number}", 0.5)
    for option in ("--csv", "--group-by"):
        reading, writing = os.pipe()
        os.close(reading)
        command = [sys.executable, "-m", "aeanomaly", "compare", str(tmp_path), option]
        root = Path(__file__).parents[3]
        result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=root)
        os.close(writing)
        assert "Traceback" not in result.stderr
        assert "Exception" not in result.stderr


def test_what_fit_writes_is_what_compare_reads(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    (entry,) = json.loads(run_ok(capsys, str(run_dir), "--json"))
    written = json.loads((run_dir / "metrics.json").read_text())
    assert entry["status"] == "ok"
    assert set(entry["metrics"]) == {"test/auroc/reconstruction", "test/auroc/kmeans", "fit_seconds"}
    assert all(written[name] == value for name, value in entry["metrics"].items())
    assert run_ok(capsys, str(run_dir), "--sort", "code_size").splitlines()[-1].strip() == ""  # no remarks
