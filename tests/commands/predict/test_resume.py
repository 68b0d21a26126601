"""What an interrupted command has scored is kept, and taken over by --resume as long as it is still true."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aeanomaly.inference.anomaly_detector import AnomalyDetector
from aeanomaly.runs.finding import find_checkpoint
from tests.commands.predict.conftest import COLUMNS, read_rows


def test_what_is_done_is_kept_and_not_done_again(
    predict: Callable[..., int],
    pictures: Path,
    interrupted: Callable[[str], list[int]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--images", "pictures", "--batch", 8]
    assert predict(*words, "--out", "whole.csv") == 0
    judged = interrupted("judge_batch")
    assert predict(*words) == 130
    assert "16 rows are kept in scores.csv.partial-" in capsys.readouterr().err
    (partial,) = Path().glob("scores.csv.partial-*")
    assert not Path("scores.csv").exists()
    with partial.open("ab") as stream:
        stream.truncate(partial.stat().st_size - 3)  # as if the process had been killed while it wrote
    judged[0] = -100
    assert predict(*words, "--resume") == 0
    assert judged[0] == -100 + 25  # the 16th was cut short
    resumed, whole = read_rows(Path("scores.csv")), read_rows(Path("whole.csv"))
    for name in COLUMNS:
        found, expected = ([row[name] for row in rows] for rows in (resumed, whole))
        if name == "path" or "@" in name:
            assert found == expected
        else:  # which images are scored together changes the last bits
            assert list(map(float, found)) == pytest.approx(list(map(float, expected)), rel=1e-4)
    assert not partial.exists()
    said = capsys.readouterr().out
    assert "Scored: 25 images" in said
    assert f"Above kmeans@alarm5: {sum(row['kmeans@alarm5'] == '1' for row in whole)} of 40" in said


def test_with_nothing_to_resume_everything_is_scored_and_that_is_said(
    predict: Callable[..., int], pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A finished table does not tell what checkpoint its rows are of."""
    assert predict("--images", "pictures") == 0
    before, said = Path("scores.csv").read_bytes(), capsys.readouterr().out
    assert "resume" not in said
    assert predict("--images", "pictures", "--resume") == 0
    said = capsys.readouterr().out
    assert "Nothing to resume: " in said
    assert "Scored: 40 images" in said
    assert Path("scores.csv").read_bytes() == before


def test_sigterm_says_in_one_line_what_is_kept(
    predict: Callable[..., int],
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    judge, seen = AnomalyDetector.judge_batch, [0]

    def told_to_end(self: AnomalyDetector, images: torch.Tensor) -> Any:
        seen[0] += len(images)
        if seen[0] == 24:
            signal.raise_signal(signal.SIGTERM)
        return judge(self, images)

    monkeypatch.setattr(AnomalyDetector, "judge_batch", told_to_end)
    before = signal.getsignal(signal.SIGTERM)
    words = ["--images", "pictures", "--batch", 8]
    assert predict(*words) == 143
    (partial,) = Path().glob("scores.csv.partial-*")
    assert capsys.readouterr().err == f"Terminated: 16 rows are kept in {partial}; --resume goes on\n"
    assert signal.getsignal(signal.SIGTERM) == before
    assert predict(*words, "--resume") == 0
    assert seen[0] == 24 + 24
    assert len(read_rows(Path("scores.csv"))) == 40


def test_rows_of_a_checkpoint_that_was_replaced_are_not_taken_over(
    predict: Callable[..., int], pictures: Path, run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(find_checkpoint(run_dir), "net.ckpt")
    (pictures / "b" / "39.png").write_bytes(b"no picture")
    words = ["--images", "pictures", "--batch", 8, "--ckpt_path"]
    assert predict(*words, "net.ckpt") == 2
    shutil.copy2("net.ckpt", "other.ckpt")  # of the same size and time
    os.utime("net.ckpt", ns=(0, 0))
    for checkpoint in ("other.ckpt", "net.ckpt"):
        assert predict(*words, checkpoint, "--resume", "--on-error", "skip") == 0
        said = capsys.readouterr().out
        assert "Nothing to resume: " in said
        assert "Scored: 39 images" in said


def test_rows_of_other_pictures_or_thresholds_are_not_taken_over(
    predict: Callable[..., int], pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "b" / "39.png").write_bytes(b"no picture")
    assert predict("--images", "pictures", "--batch", 8) == 2
    capsys.readouterr()
    assert predict("--images", "pictures/a", "--resume") == 0
    assert "Scored: 20 images" in capsys.readouterr().out
    assert predict("--images", "pictures", "--resume", "--threshold", "alarm5", "--on-error", "skip") == 0
    assert "Scored: 39 images" in capsys.readouterr().out
    assert predict("--images", "pictures", "--resume", "--on-error", "skip") == 0
    assert "Scored: 7 images" in capsys.readouterr().out


def test_rows_of_pictures_that_were_changed_or_are_gone_are_not_kept(
    predict: Callable[..., int],
    pictures: Path,
    interrupted: Callable[[str], list[int]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    judged = interrupted("judge_batch")
    assert predict("--images", "pictures", "--batch", 8) == 130
    first, changed, gone = (pictures / "a" / f"{number:02}.png" for number in (0, 3, 5))
    old = changed.stat()
    changed.write_bytes(first.read_bytes())
    os.utime(changed, ns=(old.st_atime_ns, old.st_mtime_ns - 1))  # as one that is older takes its place
    gone.unlink()
    judged[0] = -100
    assert predict("--images", "pictures", "--resume") == 0
    assert "Scored: 25 images" in (said := capsys.readouterr().out)
    assert ", 14 before" in said
    rows = {Path(row["path"]).name: row for row in read_rows(Path("scores.csv"))}
    assert len(rows) == len(read_rows(Path("scores.csv"))) == 39
    assert gone.name not in rows
    assert float(rows[changed.name]["reconstruction"]) == pytest.approx(float(rows[first.name]["reconstruction"]))


def test_rows_of_an_array_that_was_replaced_are_not_kept(
    predict: Callable[..., int],
    test_images: np.ndarray,
    interrupted: Callable[[str], list[int]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save("b.npy", test_images[:24])
    judged = interrupted("judge_batch")
    assert predict("--images", "b.npy", "--batch", 8) == 130
    np.save("b.npy", test_images[24:36])
    judged[0] = -100
    assert predict("--images", "b.npy", "--resume") == 0
    said = capsys.readouterr().out
    assert "Nothing to resume: " in said
    assert "Scored: 12 images" in said
    assert len(read_rows(Path("scores.csv"))) == 12
