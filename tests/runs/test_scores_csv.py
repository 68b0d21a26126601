"""A table of scores can be read back, whatever the files of the images are called."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aeanomaly.outputs import Evaluation
from aeanomaly.page.scored import read_scored
from aeanomaly.runs.scores_csv import scores_csv

NAMES = ["=1+1", "a,b", 'say "x"', "new\nline", os.fsdecode(b"\xff"), "plain"]
ORDER = [5, 0, 1, 2, 3, 4]


def evaluation(scores: Tensor | None = None) -> Evaluation:
    index = torch.tensor(ORDER)
    return Evaluation(
        index=index,
        code=torch.zeros(6, 1),
        label=index % 2,
        is_anomaly=index % 2 == 1,
        scores={"distance": torch.arange(6) / 3 if scores is None else scores},
        thresholds={"distance": {"alarm5": 1.0}},
    )


def test_names_that_break_tables_do_not(tmp_path: Path) -> None:
    text = scores_csv(evaluation(), NAMES)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["path"] for row in rows] == ["plain", "'=1+1", "a,b", 'say "x"', "new\nline", "?"]
    (tmp_path / "test_scores.csv").write_text(text)
    (tmp_path / "metrics.json").write_text(json.dumps({}))
    scored = read_scored(tmp_path)
    assert scored.index.tolist() == ORDER
    assert list(scored.scores) == ["distance"]
    np.testing.assert_array_equal(scored.scores["distance"], (torch.arange(6) / 3).numpy())


def test_images_without_files_have_no_such_column() -> None:
    assert scores_csv(evaluation()).splitlines()[0] == "index,class,is_anomaly,distance"
    assert scores_csv(evaluation(), decisions=True).splitlines()[:2] == ["index,distance,distance@alarm5", "5,0,0"]
    assert scores_csv(evaluation(), NAMES, decisions=True).splitlines()[1] == "5,0,0,plain"


def test_a_nan_is_flagged_in_the_table_and_on_the_page(tmp_path: Path) -> None:
    scores = torch.tensor([math.nan, 0.5, 1, 1.5, math.inf, -math.inf])
    table = csv.DictReader(io.StringIO(scores_csv(evaluation(scores), decisions=True)))
    assert [row["distance@alarm5"] for row in table] == list("100110")
    (tmp_path / "test_scores.csv").write_text(scores_csv(evaluation(scores)))
    (tmp_path / "metrics.json").write_text(json.dumps({}))
    assert read_scored(tmp_path).flagged("distance", 1.0).tolist() == [True, False, False, True, True, False]
