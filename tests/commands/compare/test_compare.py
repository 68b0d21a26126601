"""`compare` as users call it."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from aeanomaly.commands.main import main
from tests.commands.compare.parts import make_run, read_csv, run_ok, table_rows


@pytest.mark.usefixtures("logs")
def test_sorting(capsys: pytest.CaptureFixture[str]) -> None:
    def order(*words: str) -> str:
        return "".join(row[0].removeprefix("version_") for row in table_rows(run_ok(capsys, *words)))

    assert order("--sort", "auroc/kmeans") == "43021"
    assert order("--sort", "test/auroc/kmeans", "--reverse") == "12034"
    assert order("--sort", "loss", "--metrics", "val/loss") == "43021"
    assert order("--sort", "seed") == "03142"
    assert order("--sort", "code_size", "--reverse") == "34012"
    assert order("--reverse") == "43210"
    assert order("--sort", "lr") == "01234"


def test_seeds_are_folded(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(logs / "version_5", 0.5, seed=1, code_size=3)
    rows = table_rows(run_ok(capsys, "--group-by", "--metrics", "auroc"))
    deviation = statistics.stdev([0.8, 0.7, 0.75])
    assert rows[0] == ["version_0", "+2", "3", "0.7500", "±", f"{deviation:.4f}", "2"]
    assert rows[1] == ["version_3", "+1", "2", "0.9250", "±", f"{statistics.stdev([0.9, 0.95]):.4f}", "8"]
    assert rows[2] == ["version_5", "1", "0.5000", "3"]  # of one run there is no deviation
    lines = read_csv(run_ok(capsys, "--group-by", "--csv"))
    assert [line["n"] for line in lines] == ["3", "2", "1"]
    assert float(lines[0]["test/auroc/kmeans_mean"]) == pytest.approx(0.75)
    assert float(lines[0]["test/auroc/kmeans_std"]) == pytest.approx(deviation)
    assert lines[2]["test/auroc/kmeans_std"] == ""
    assert lines[1]["run"] == "lightning_logs/version_3;lightning_logs/version_4"
    assert "seed" not in lines[0]
    objects = json.loads(run_ok(capsys, "--group-by", "--json", "--sort", "kmeans"))
    assert objects[0]["runs"] == ["lightning_logs/version_3", "lightning_logs/version_4"]
    assert objects[0]["hyperparameters"] == {"model.net.code_size": 8}
    assert objects[0]["metrics"]["test/auroc/kmeans"]["n"] == 2
    assert objects[2]["metrics"]["test/auroc/kmeans"] == {"mean": 0.5, "std": None, "n": 1}


@pytest.mark.usefixtures("logs")
def test_grouping_by_given_hyperparameters(capsys: pytest.CaptureFixture[str]) -> None:
    text = run_ok(capsys, "--group-by", "seed", "--metrics", "auroc")
    assert [row[-1] for row in table_rows(text)] == ["1", "2", "3"]
    assert "differ in: model.net.code_size" in text


@pytest.mark.usefixtures("logs")
def test_some_runs_only(capsys: pytest.CaptureFixture[str]) -> None:
    text = run_ok(capsys, "lightning_logs/version_3", "--metrics", "auroc", "lightning_logs/version_4")
    assert table_rows(text) == [["version_3", "0.9000", "1"], ["version_4", "0.9500", "2"]]


def test_brackets_and_colons_in_names_are_shown_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path / "a [bold] run :smile:", 0.5)
    assert "a [bold] run :smile:" in run_ok(capsys, str(tmp_path))


def test_help_names_the_options_and_the_top_level_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["compare", "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for option in ("--metrics", "--sort", "--reverse", "--group-by", "--csv", "--markdown", "--json"):
        assert option in text
    assert main(["--help"]) == 0
    assert "  compare " in capsys.readouterr().out


def test_two_hundred_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw = random.Random(0)
    values: dict[int, list[float]] = {}
    for number in range(200):
        size, auroc = number % 8, draw.random()
        values.setdefault(size, []).append(auroc)
        make_run(tmp_path / f"part_{number % 3}" / f"version_{number}", auroc, seed=number // 8, code_size=size)
    lines = read_csv(run_ok(capsys, str(tmp_path), "--csv", "--sort", "kmeans"))
    found = [float(line["test/auroc/kmeans"]) for line in lines]
    assert found == sorted((value for group in values.values() for value in group), reverse=True)
    assert [key for key in lines[0] if key.startswith(("model.", "data.", "trainer."))] == ["model.net.code_size"]
    grouped = read_csv(run_ok(capsys, str(tmp_path), "--group-by", "--csv"))
    assert len(grouped) == 8
    for line in grouped:
        group = values[int(line["model.net.code_size"])]
        assert float(line["test/auroc/kmeans_mean"]) == pytest.approx(statistics.mean(group))
        assert float(line["test/auroc/kmeans_std"]) == pytest.approx(statistics.stdev(group))
        assert line["n"] == "25"


@pytest.mark.usefixtures("logs")
def test_neither_torch_nor_other_heavy_packages_are_imported() -> None:
    code = (
        "import sys; from aeanomaly.commands.main import main; status = main(['compare', '--group-by']); "
        "heavy = {'torch', 'lightning', 'torchvision', 'matplotlib', 'sklearn', 'scipy', 'numpy', 'jsonargparse'}; "
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr); sys.exit(status)"
    )
    root = str(Path(__file__).parents[3])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (result.returncode, result.stderr) == (0, "[]\n")


def test_a_terminal_without_the_sign_for_deviations(logs: Path) -> None:
    command = [sys.executable, "-m", "aeanomaly", "compare", str(logs.absolute()), "--group-by"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    root = Path(__file__).parents[3]
    result = subprocess.run(command, capture_output=True, text=True, cwd=root, env=environment)
    assert result.returncode == 0
    assert "0.7500 ? 0.0500" in result.stdout


def test_a_long_table_is_cut_on_the_screen_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(5):
        make_run(tmp_path / f"version_{number}", number / 10)
    text = run_ok(capsys, str(tmp_path), "--limit", "3", "--sort", "kmeans")
    assert [row[0] for row in table_rows(text)] == ["version_4", "version_3", "version_2"]
    assert "3 of 5 rows: --sort for the best first, --limit 0 for all" in text
    assert len(table_rows(run_ok(capsys, str(tmp_path), "--limit", "0"))) == 5
    assert len(read_csv(run_ok(capsys, str(tmp_path), "--limit", "3", "--csv"))) == 5
