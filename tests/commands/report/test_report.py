"""`report` and the page that every fit leaves."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from aeanomaly.callbacks import report
from aeanomaly.commands.fit.trainer_cli import AnomalyCLI
from aeanomaly.commands.main import main
from tests.conftest import DEBUG
from tests.page.parts import make_run


def data_of(page: Path) -> Any:
    """What the page's script reads."""
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]


def test_a_fit_leaves_a_page_with_pictures(run_dir: Path) -> None:
    (run,) = data_of(run_dir / "report.html")
    assert len(run["images"]) == 48
    assert {"input", "reconstruction", "squared error"} <= set(run["images"][0]["pictures"])
    assert len(run["ranking"]["kmeans"]) == 24
    assert "fitted on" in run["notes"]["kmeans"]
    assert (run_dir / "report.html").stat().st_size < 1_000_000


def test_the_command_makes_the_same_page_again(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run_dir), "--out", str(tmp_path / "again.html")]) == 0
    assert re.fullmatch(r"Written: \S+again\.html \(\d\.\d MB\)\n", capsys.readouterr().out)
    assert data_of(tmp_path / "again.html") == data_of(run_dir / "report.html")


def test_without_checkpoint_there_are_no_pictures(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run_dir, copy, ignore=shutil.ignore_patterns("*.ckpt"))
    assert main(["report", str(copy)]) == 0
    assert "No pictures" in capsys.readouterr().out
    (run,) = data_of(copy / "report.html")
    assert run["images"] == run["suspects"] == []
    assert "the checkpoint that was tested is not in" in (copy / "report.html").read_text()


def test_several_runs_share_a_page_with_a_table_of_what_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, size in enumerate((3, 8)):
        make_run(Path("logs", f"version_{number}"), 100, seed=number, size=size)
    (make_run(Path("logs", "version_2"), 10) / "test_scores.csv").unlink()
    assert main(["report", "logs", "--images", "0"]) == 0
    assert "Left out: logs/version_2 was not tested" in capsys.readouterr().out
    assert [run["name"] for run in data_of(Path("report.html"))] == ["version_0", "version_1"]
    text = Path("report.html").read_text()
    for part in ("Runs side by side", "code_size", ">8</td>", '<option value="1">version_1</option>'):
        assert part in text


def test_a_page_that_fails_does_not_break_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no more\nroom")

    monkeypatch.setattr(report, "write_page", fail)
    assert (
        main(["fit", "--config", DEBUG, "--trainer.max_epochs", "1", "--trainer.default_root_dir", str(tmp_path)]) == 0
    )
    out, err = capsys.readouterr()
    assert "warning: no report.html was made: RuntimeError: no more room\n" in err
    assert "Report:" not in out
    assert (tmp_path / "lightning_logs" / "version_0" / "metrics.json").is_file()


def test_a_cell_of_a_benchmark_has_none(tmp_path: Path) -> None:
    words = ["--config", DEBUG, "--trainer.max_epochs", "1", "--trainer.default_root_dir", str(tmp_path)]
    AnomalyCLI("fit", words, page=False)
    run = tmp_path / "lightning_logs" / "version_0"
    assert (run / "test_scores.csv").is_file()
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["nowhere"], "there is no run or folder 'nowhere'"),
        ([], "required"),
        (["untested"], "no run in untested was tested"),
        (["run", "--images", "many"], "expected a number from 0 to 999,999,999, got 'many'"),
        (["run", "--out", "untested"], "that is a folder"),
        (["run", "--out", "run.pdf"], "--out must end in .html, which is what is written, got 'run.pdf'"),
    ],
)
def test_mistakes_are_told_in_a_line(
    words: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(Path("run"), 10)
    (make_run(Path("untested"), 10) / "test_scores.csv").unlink()
    assert main(["report", *words]) == 2
    assert complaint in capsys.readouterr().err
