"""One prediction at a time makes a file: a second one is refused, and after a kill the next one goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aeanomaly.commands.predict.result_file import ResultFile
from aeanomaly.errors import UserError
from tests.commands.predict.conftest import read_rows
from tests.conftest import REPOSITORY

# A process that begins a table, writes a row, and is killed.
KILLED = """
import os, signal
from pathlib import Path
from aeanomaly.commands.predict.result_file import ResultFile

ResultFile(Path("scores.csv"), ["path", "score"], ["checkpoint"]).add([["a.png", "1.5", "first"]])
os.kill(os.getpid(), signal.SIGKILL)
"""


def table(out: Path, **options: Any) -> ResultFile:
    return ResultFile(out, ["path", "score"], ["checkpoint"], **options)


@pytest.mark.parametrize("more", [[], ["--resume"], ["--threshold", "alarm5"]])
def test_a_second_prediction_of_a_file_is_refused(
    more: list[str], predict: Callable[..., int], pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = table(Path("scores.csv"))
    assert predict("--images", "pictures", *more) == 2
    assert capsys.readouterr().err == "aeanomaly: error: another prediction is at work on scores.csv\n"
    assert predict("--images", "pictures", "--out", "others.csv") == 0  # in the same folder
    first.add([["a.png", "1.5", "first"]])
    first.finish()
    assert read_rows(Path("scores.csv")) == [{"path": "a.png", "score": "1.5"}]
    assert predict("--images", "pictures", *more) == 0
    assert sorted(path.name for path in Path().iterdir()) == ["others.csv", "pictures", "scores.csv"]


def test_whoever_leaves_a_file_lets_others_at_it(tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    table(out).leave()
    broken = table(out)
    out.mkdir()
    with pytest.raises(UserError, match="cannot write"):
        broken.finish()
    table(out).leave()
    broken.partial.unlink(missing_ok=True)
    broken.partial.mkdir()
    with pytest.raises(UserError, match="cannot write"):
        table(out)
    broken.partial.rmdir()
    table(out).leave()
    assert not list(tmp_path.glob(".*"))


def test_after_a_kill_the_rows_are_there(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    killed = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, env=environment, check=False)
    assert killed.returncode == -9
    resumed = table(tmp_path / "scores.csv", there=[("a.png", "first"), ("b.png", "first")])
    assert resumed.done == {"a.png"}
    resumed.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["scores.csv"]
