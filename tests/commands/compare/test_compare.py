"""`compare` as users call it."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import random
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from aeanomaly.commands.main import main

Csv = list[dict[str, str]]


def make_run(path: Path, auroc: float, seed: int = 9, code_size: int = 5, **figures: float) -> Path:
    path.mkdir(parents=True)
    net = {"class_path": "aeanomaly.models.dense.DenseAutoencoder", "init_args": {"code_size": code_size, "act": "a|b"}}
    config: dict[str, Any] = {
        "seed_everything": seed,
        "trainer": {"max_epochs": 10, "default_root_dir": str(path)},
        "model": {"net": net, "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.005}}},
        "data": {"class_path": "aeanomaly.data.sources.mnist.MNIST", "init_args": {"anomaly_classes": [0]}},
    }
    (path / "config.yaml").write_text(yaml.dump(config))
    metrics = {"test/auroc/kmeans": auroc, "val/loss": 1 - auroc, "seed": seed, "fit_seconds": 12.5, **figures}
    (path / "metrics.json").write_text(json.dumps(metrics))
    return path


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three seeds of code size 2 and two of code size 8, in the default place."""
    monkeypatch.chdir(tmp_path)
    for number, (auroc, seed, size) in enumerate([(0.8, 1, 2), (0.7, 2, 2), (0.75, 3, 2), (0.9, 1, 8), (0.95, 2, 8)]):
        make_run(Path("lightning_logs", f"version_{number}"), auroc, seed, size)
    return Path("lightning_logs")


@pytest.fixture
def troubled(logs: Path) -> Path:
    """Beside the five good runs, one in each kind of trouble."""
    truncated = make_run(logs / "version_5", 0.5) / "metrics.json"
    truncated.write_text(truncated.read_text()[:30])
    (make_run(logs / "version_6", 0.5) / "metrics.json").unlink()
    make_run(logs / "version_7", math.nan, seed=3, code_size=8)
    (make_run(logs / "version_8", 0.99) / "config.yaml").unlink()
    (make_run(logs / "version_9", 0.5) / "metrics.json").write_text('{"val/loss": 0.5, "fit_seconds": 1.0}')
    (logs / "version_10").mkdir()
    return logs


def run_ok(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["compare", *words]) == 0
    return capsys.readouterr().out


def run_fails(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["compare", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("aeanomaly: error: ")
    assert err.count("\n") == 1
    return err


def table_rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.lstrip().startswith("version_") and ": " not in line]


def read_csv(text: str) -> Csv:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.usefixtures("logs")
def test_the_table_shows_metrics_and_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    text = run_ok(capsys)
    assert table_rows(text)[0] == ["version_0", "0.8000", "12.5", "1", "2"]
    assert len(table_rows(text)) == 5
    # headings may be broken into lines
    heading = text.partition("───")[0]
    assert all(word in heading for word in ("run", "kmeans", "seconds", "seed", "code_", "size"))
    assert not any(word in text for word in ("lr", "max_epochs", "MNIST", "lightning_logs"))


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


@pytest.mark.usefixtures("troubled")
def test_every_troubled_run_is_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    text = run_ok(capsys, "--sort", "kmeans")
    assert [row[0] for row in table_rows(text)] == [f"version_{n}" for n in (8, 4, 3, 0, 2, 1, 7)]
    assert table_rows(text)[0][1:] == ["0.9900", "12.5", "-", "-"]
    assert table_rows(text)[-1][1] == "nan"
    lines = {line.partition(": ")[0]: line for line in text.splitlines() if line.startswith("version_")}
    assert set(lines) == {f"version_{n}" for n in (5, 6, 7, 8, 9, 10)}
    assert "broken, metrics.json is truncated or not JSON" in lines["version_5"]
    assert "unfinished, no metrics.json" in lines["version_6"]
    assert "broken, NaN or infinite: test/auroc/kmeans" in lines["version_7"]
    assert "broken, no config.yaml" in lines["version_8"]
    assert "unfinished, no test figures" in lines["version_9"]
    assert "unfinished, neither metrics.json nor config.yaml" in lines["version_10"]
    assert "7 of 11 runs can be compared." in text


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


@pytest.mark.usefixtures("logs")
def test_some_runs_only(capsys: pytest.CaptureFixture[str]) -> None:
    text = run_ok(capsys, "lightning_logs/version_3", "--metrics", "auroc", "lightning_logs/version_4")
    assert table_rows(text) == [["version_3", "0.9000", "1"], ["version_4", "0.9500", "2"]]


def test_brackets_and_colons_in_names_are_shown_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path / "a [bold] run :smile:", 0.5)
    assert "a [bold] run :smile:" in run_ok(capsys, str(tmp_path))


def test_nothing_that_can_be_compared_is_no_failure(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (logs / "version_0" / "metrics.json").unlink()
    for words in ([], ["--sort", "auroc/kmeans"], ["--group-by", "code_size"], ["--metrics", "auroc"]):
        text = run_ok(capsys, "lightning_logs/version_0", *words)
        assert text.splitlines()[0] == "0 of 1 runs can be compared."
        assert text.splitlines()[1].startswith("version_0: unfinished, no metrics.json")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "no run or folder 'nowhere'"),
        (["--sort", "aurok"], "no column 'aurok'; columns: run, auroc/kmeans, fit_seconds, seed, code_size"),
        (["--metrics", "aurok"], "no run has the metric 'aurok'; did you mean 'auroc'?"),
        (["--metrics", ","], "expected names separated by commas"),
        (["--group-by", "code"], "no run has the hyperparameter 'code'"),
        (["--group-by", "lightning_logs"], "put runs and folders before --group-by"),
        (["--csv", "lightning_logs"], "put runs and folders before --csv"),
        (["--csv", "--json"], "only one of --csv and --json can be printed"),
        (["--csv", "lightning_logs/version_0/config.yaml/x.csv"], "cannot write"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["--sort"], "expected one argument"),
    ],
)
@pytest.mark.usefixtures("logs")
def test_mistakes_are_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in run_fails(capsys, *words)


def test_no_runs_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no lightning_logs here" in run_fails(capsys)
    Path("lightning_logs").mkdir()
    assert "no run in lightning_logs" in run_fails(capsys)


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
