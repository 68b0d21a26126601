"""What is said of all pictures of a command together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import aeanomaly
from aeanomaly import UserError
from aeanomaly.data.sources.digits import Digits
from aeanomaly.evaluation.discoveries import discoveries
from tests.commands.predict.conftest import read_rows

RATE = ["--false-discovery-rate", "0.3"]


@pytest.fixture
def odd(tmp_path: Path, test_images: np.ndarray) -> Path:
    """30 images as they were, and 30 in negative, in an array."""
    np.save(tmp_path / "odd.npy", np.concatenate([test_images[:30], 255 - test_images[30:60]]))
    return tmp_path / "odd.npy"


def test_discoveries_are_a_column_of_the_main_score(
    predict: Callable[..., int], odd: Path, run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict("--images", odd, *RATE) == 0
    rows = read_rows(Path("scores.csv"))
    assert list(rows[0])[-1] == "reconstruction@fdr0.3"
    assert sum("@fdr" in name for name in rows[0]) == 1
    flagged = [row["reconstruction@fdr0.3"] == "1" for row in rows]
    assert flagged == discoveries(np.array([float(row["p_value/reconstruction"]) for row in rows]), 0.3).tolist()
    assert all(flagged[30:])
    said = capsys.readouterr().out
    assert f"Discoveries by reconstruction at a false discovery rate of 0.3: {sum(flagged)} of 60\n" in said
    assert [path.name for path in Path().glob("scores*")] == ["scores.csv"]
    prediction = aeanomaly.load(run_dir, device="cpu").predict(np.load(odd), false_discovery_rate=0.3)
    assert prediction.decision["fdr0.3"].tolist() == flagged
    assert "alarm5" in prediction.decision
    with pytest.raises(UserError, match="rate must lie strictly between 0 and 1, got 3"):
        aeanomaly.load(run_dir, device="cpu").predict(np.load(odd), false_discovery_rate=3)


def test_another_score_can_be_the_main_one(
    predict: Callable[..., int], odd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict("--images", odd, "--score", "kmeans", "--threshold", "2.5", *RATE, "--drift") == 0
    rows = read_rows(Path("scores.csv"))
    assert [name for name in rows[0] if "@" in name] == ["kmeans@2.5", "kmeans@fdr0.3"]
    flagged = discoveries(np.array([float(row["p_value/kmeans"]) for row in rows]), 0.3)
    assert [row["kmeans@fdr0.3"] for row in rows] == [str(int(flag)) for flag in flagged]
    said = capsys.readouterr().out
    assert "Discoveries by kmeans at a false discovery rate of 0.3" in said
    assert "Drift: " in said
    assert "reconstruction" not in said


def test_they_are_of_what_an_interrupted_command_has_scored_too(
    predict: Callable[..., int], odd: Path, interrupted: Callable[[str], list[int]]
) -> None:
    words = ["--images", odd, "--batch", 8]
    assert predict(*words, *RATE, "--out", "whole.csv") == 0
    judged = interrupted("judge_batch")
    assert predict(*words) == 130
    judged[0] = -100
    assert predict(*words, *RATE, "--resume") == 0
    assert judged[0] == -100 + 60 - 16
    found, whole = ([row["reconstruction@fdr0.3"] for row in read_rows(Path(f"{n}.csv"))] for n in ("scores", "whole"))
    assert found == whole
    assert not list(Path().glob("*partial*"))


def test_in_parquet(predict: Callable[..., int], odd: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert predict("--images", odd, *RATE, "--out", "scores.parquet") == 0
    column = parquet.read_table("scores.parquet")["reconstruction@fdr0.3"].to_pylist()
    assert set(column[30:]) == {True}
    assert [path.name for path in Path().glob("scores*")] == ["scores.parquet"]


def test_what_cannot_be_discovered_is_told(
    predict: Callable[..., int], test_images: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("many.npy", test_images)
    assert predict("--images", "many.npy", "--false-discovery-rate", "0.0001") == 0
    said = capsys.readouterr().out
    assert ": 0 of 360; from " in said
    assert " held-out normal pictures there can be none: hold out more (data.val_fraction), or raise the rate\n" in said


def test_drift_is_warned_of_when_it_is_asked_for(
    predict: Callable[..., int], odd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Digits(anomaly_classes=[0]).load()
    np.save("as_before.npy", whole.train_images[whole.train_labels != 0][:100].numpy())
    assert predict("--images", "as_before.npy", "--drift") == 0
    out, err = capsys.readouterr()
    assert "Drift: none to be seen by reconstruction (Kolmogorov-Smirnov distance 0." in out
    assert err == ""
    assert predict("--images", odd) == 0
    assert capsys.readouterr().err == ""
    assert predict("--images", odd, "--drift") == 0
    out, err = capsys.readouterr()
    assert "Drift: reconstruction differs" in out
    assert err.startswith("warning: the pictures do not score by reconstruction as held-out normal ones do")
    assert "many anomalies among them look the same" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("rate", ["0", "1", "10%"])
def test_no_rate(rate: str, predict: Callable[..., int], odd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict("--images", odd, "--false-discovery-rate", rate) == 2
    assert f"--false-discovery-rate: expected a number between 0 and 1, got '{rate}'" in capsys.readouterr().err
    assert not list(Path().glob("scores*"))
