"""The table of scores: the values of the run's test, a row for each picture, complete or absent."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aeanomaly.commands.main import main
from aeanomaly.runs.finding import LOGS, find_checkpoint
from aeanomaly.runs.reading import CONFIG, METRICS
from tests.commands.predict.conftest import COLUMNS, read_rows
from tests.data.picture_files import put


def test_pictures_have_the_scores_that_the_run_gave_them(
    predict: Callable[..., int], pictures: Path, run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict("--images", "pictures") == 0
    rows, recorded = read_rows(Path("scores.csv")), read_rows(run_dir / "test_scores.csv")
    assert list(rows[0]) == COLUMNS
    names = [f"pictures/{'a' if number < 20 else 'b'}/{number:02}.png" for number in range(40)]
    assert [row["path"] for row in rows] == names
    for row, expected in zip(rows, recorded, strict=False):
        for name in ("reconstruction", "kmeans"):
            assert float(row[name]) == pytest.approx(float(expected[name]), rel=1e-4)
    said = capsys.readouterr().out
    assert "Scored: 40 images" in said
    flagged = sum(row["reconstruction@fixed"] == "1" for row in rows)
    assert f"Above reconstruction@fixed: {flagged} of 40\n" in said
    assert "Written: scores.csv" in said


def test_p_values_and_decisions(predict: Callable[..., int], pictures: Path, run_dir: Path) -> None:
    assert predict("--images", "pictures", "--out", "new/folder/s.csv") == 0
    state = torch.load(find_checkpoint(run_dir), weights_only=True)["state_dict"]
    for row in read_rows(Path("new/folder/s.csv")):
        for name in ("reconstruction", "kmeans"):
            normal = sorted(state[f"detector.calibrations.{name}.normal_scores"].tolist())
            score = float(np.float32(row[name]))
            above = sum(value >= score for value in normal)
            assert float(row[f"p_value/{name}"]) == pytest.approx((1 + above) / (1 + len(normal)), rel=1e-6)
            rank = math.ceil(round((len(normal) + 1) * 0.95, 9))
            assert row[f"{name}@alarm5"] == str(int(score > normal[rank - 1]))
        assert row["reconstruction@fixed"] == str(int(float(row["reconstruction"]) > 3))


@pytest.mark.parametrize("form", ["NCHW", "NHW", "float"])
def test_an_array(form: str, predict: Callable[..., int], test_images: np.ndarray, run_dir: Path) -> None:
    forms = {"NCHW": test_images, "NHW": test_images[:, 0], "float": test_images / np.float32(255)}
    np.save("images.npy", forms[form])
    assert predict("--images", "images.npy", "--batch", 100) == 0
    rows, recorded = read_rows(Path("scores.csv")), read_rows(run_dir / "test_scores.csv")
    assert [row["path"] for row in rows] == [f"images.npy[{number}]" for number in range(360)]
    for name in ("reconstruction", "kmeans"):
        found, expected = ([float(row[name]) for row in table] for table in (rows, recorded))
        assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["pictures/a"], 20),
        (["pictures/a/03.png"], 1),
        (["pictures/*/*1.png"], 4),
        (["pictures/**"], 40),
        (["pictures/[ab]"], 40),
        (["pictures/a", "pictures/b/20.png"], 21),
    ],
)
def test_what_can_be_named(words: list[str], count: int, predict: Callable[..., int], pictures: Path) -> None:
    assert predict("--images", *words) == 0
    assert len(read_rows(Path("scores.csv"))) == count


def test_figures_of_runs_are_not_scored_unless_they_are_named(predict: Callable[..., int], pictures: Path) -> None:
    for run in (pictures / LOGS / "version_0", pictures / "copied"):
        for name in (METRICS, CONFIG):
            put(run, name, b"")
        put(run, "figures/density.png", (pictures / "a" / "00.png").read_bytes())
    assert predict("--images", pictures) == 0
    assert len(read_rows(Path("scores.csv"))) == 40
    assert predict("--images", pictures / "copied") == 0
    assert len(read_rows(Path("scores.csv"))) == 1


def test_thresholds_of_the_command(predict: Callable[..., int], pictures: Path) -> None:
    for threshold, decided in (
        ("alarm5", {"reconstruction@alarm5", "kmeans@alarm5"}),
        ("fixed", {"reconstruction@fixed"}),
        ("4.5", {"reconstruction@4.5"}),
        ("kmeans=0.03", {"kmeans@0.03"}),
    ):
        assert predict("--images", "pictures", "--threshold", threshold) == 0
        rows = read_rows(Path("scores.csv"))
        assert {name for name in rows[0] if "@" in name} == decided
        for row in rows:
            for name in decided:
                score, _, value = name.partition("@")
                if value[0].isdecimal():
                    assert row[name] == str(int(float(row[score]) > float(value)))


def test_no_path_is_a_formula(predict: Callable[..., int], test_images: np.ndarray) -> None:
    names = ["=1+1.png", "+1.png", "-1.png", "@sum.png", "'=a.png", "plain.png", 'two\nlines, and "quotes".png']
    for name in names:
        Image.fromarray(test_images[0, 0]).save(name)
    assert predict("--images", *(f"./{name}" for name in names[:1]), *(n for n in names[1:] if n[0] != "-"), "./") == 0
    found = {row["path"] for row in read_rows(Path("scores.csv"))}
    assert {"'=1+1.png", "'+1.png", "'-1.png", "'@sum.png", "''=a.png", "plain.png", names[-1]} <= found
    assert not any(path.startswith(("=", "+", "-", "@")) for path in found)


def test_parquet(predict: Callable[..., int], pictures: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    (pictures / "a" / "00.png").rename("=0.png")
    words = ["--images", "pictures", "./=0.png"]
    assert predict(*words) == predict(*words, "--out", "scores.parquet") == 0
    table = parquet.read_table("scores.parquet").to_pylist()
    assert list(table[0]) == COLUMNS
    for found, expected in zip(table, read_rows(Path("scores.csv")), strict=True):
        assert found["path"] == expected["path"].removeprefix("'")
        assert found["kmeans"] == np.float32(expected["kmeans"])
        assert found["kmeans@alarm5"] == bool(int(expected["kmeans@alarm5"]))
    assert sorted(path.name for path in Path().glob("scores*")) == ["scores.csv", "scores.parquet"]


def test_without_images_it_is_the_verb_for_the_test_split(predict: Callable[..., int], run_dir: Path) -> None:
    checkpoint = find_checkpoint(run_dir)
    assert main(["predict", "--ckpt_path", str(checkpoint), "--trainer.default_root_dir", "."]) == 0
    with Path("lightning_logs/version_0/predictions.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 360


def test_help_tells_of_both(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    said = capsys.readouterr().out
    assert "--on-error" in said
    assert "--trainer.max_epochs" in said
