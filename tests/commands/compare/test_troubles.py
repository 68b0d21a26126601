"""Runs that are unfinished or broken, and mistakes of the user."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.compare.parts import run_fails, run_ok, table_rows


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
        (["--sort", "val/loss"], "fit_seconds, seed, code_size; --metrics val/loss shows it"),
        (["--sort", "aurok"], "no column 'aurok'; columns: run, auroc/kmeans, fit_seconds, seed, code_size"),
        (["--metrics", "aurok"], "no run has the metric 'aurok'; did you mean 'auroc'?"),
        (["--metrics", ","], "expected names separated by commas"),
        (["--group-by", "code"], "no run has the hyperparameter 'code'"),
        (["--group-by", "lightning_logs"], "put runs and folders before --group-by"),
        (["--csv", "lightning_logs"], "put runs and folders before --csv"),
        (["--csv", "--json"], "only one of --csv and --json can be printed"),
        (["--csv", "x.txt", "--json", "./x.txt"], "--csv and --json would be written into one file"),
        (["--csv", "lightning_logs/version_0/config.yaml/x.csv"], "cannot write"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["--sort"], "--sort needs a value; one that begins with - is given as --sort=VALUE"),
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
    assert "unfinished, no test values" in lines["version_9"]
    assert "unfinished, neither metrics.json nor config.yaml" in lines["version_10"]
    assert "7 of 11 runs can be compared." in text
