"""What stands on a page is what the run's files say."""

from __future__ import annotations

import base64
import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from aeanomaly.errors import UserError
from aeanomaly.page.choice import choose
from aeanomaly.page.content import metric_rows, run_data
from aeanomaly.page.curves import density_curves, ranking_curves
from aeanomaly.page.page import Entry, render
from aeanomaly.page.scored import read_scored
from tests.page.parts import gallery, make_run


def column(path: Path, name: str) -> np.ndarray:
    with (path / "test_scores.csv").open() as stream:
        return np.array([float(row[name]) for row in csv.DictReader(stream)])


def test_every_score_is_embedded_exactly(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run")
    data = run_data("run", read_scored(path), None)
    embedded = np.frombuffer(base64.b64decode(data["scores"]["kmeans"]["values"]), "<f4")
    assert (embedded == column(path, "kmeans").astype(np.float32)).all()
    assert list(base64.b64decode(data["anomalous"])) == column(path, "is_anomaly").tolist()
    assert data["scores"]["reconstruction"]["thresholds"]["fixed"] == 35
    assert data["scores"]["reconstruction"]["start"] == data["scores"]["reconstruction"]["thresholds"]["alarm5"]


def test_of_very_many_images_a_sample_is_embedded_and_those_that_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = read_scored(make_run(tmp_path / "run", 3000))
    whole = len(render([Entry("run", scored, gallery(scored))]))
    monkeypatch.setattr("aeanomaly.page.content._MOST_SCORES", 1000)
    data = run_data("run", scored, gallery(scored))
    assert (data["counted"], data["total"]) == (500, 3000)
    flags = np.frombuffer(base64.b64decode(data["anomalous"]), np.uint8)
    assert len(flags) == 500 + 48
    for score, known in scored.scores.items():
        embedded = np.frombuffer(base64.b64decode(data["scores"][score]["values"]), "<f4")
        sample = np.flatnonzero(np.isin(known, embedded[:500]))
        assert len(sample) == 500
        assert scored.is_anomaly[sample].sum() == flags[:500].sum()
        for image in data["images"]:
            assert embedded[image["row"]] == known[image["index"]]
            assert flags[image["row"]] == scored.is_anomaly[image["index"]]
    page = render([Entry("run", scored, gallery(scored))])
    assert whole - len(page) > 2500 * 10
    assert "a random sample of 500 of" in page


def test_the_page_begins_with_the_score_that_is_made_of_others(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run", names=("pooled", "fusion", "code"))
    assert run_data("run", read_scored(path), None)["main"] == "pooled"
    fusion = {"class_path": "aeanomaly.scores.fusion.Fusion", "init_args": {"of": ["pooled", "code"]}}
    (path / "config.yaml").write_text(yaml.dump({"model": {"scores": {"fusion": fusion}}}))
    assert run_data("run", read_scored(path), None)["main"] == "fusion"


def test_curves_have_the_area_of_all_points_with_a_fraction_of_them(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run", 20_000)
    truth, values = column(path, "is_anomaly"), column(path, "reconstruction")
    curves = ranking_curves(read_scored(path), "reconstruction")
    assert len(curves["roc"][0]) <= 401
    assert auc(*curves["roc"]) == pytest.approx(roc_auc_score(truth, values), abs=1e-3)
    assert auc(*curves["pr"]) == pytest.approx(average_precision_score(truth, values), abs=3e-3)
    assert (curves["roc"][0][0], curves["roc"][1][-1]) == (0, 1)


def test_a_density_has_an_area_of_one_and_every_threshold_on_its_axis(tmp_path: Path) -> None:
    scored = read_scored(make_run(tmp_path / "run"))
    density = density_curves(scored, "reconstruction")
    for kind in ("normal", "anomalous"):
        assert auc(density["x"], density[kind]["y"]) == pytest.approx(1, abs=0.02)
    assert density["x"][0] < min(scored.thresholds("reconstruction").values())
    assert density["x"][-1] > max(scored.thresholds("reconstruction").values())


@pytest.mark.parametrize(("old", "new"), [(r"(?m)^(\d+,\d+),1", r"\1,0"), (r"(?m)^(5,.*),.*$", r"\1,nan")])
def test_without_anomalies_or_with_a_nan_there_is_a_page_without_curves(tmp_path: Path, old: str, new: str) -> None:
    file = make_run(tmp_path / "run", 100, ("kmeans",)) / "test_scores.csv"
    text = re.sub(old, new, file.read_text())
    assert text != file.read_text()
    file.write_text(text)
    scored = read_scored(tmp_path / "run")
    assert ranking_curves(scored, "kmeans") == {}
    assert "<canvas" in render([Entry("run", scored)])


def test_metrics_stand_in_a_row_for_each_score_and_threshold(tmp_path: Path) -> None:
    rows = metric_rows(read_scored(make_run(tmp_path / "run")))
    assert [(row["score"], row["threshold"], row["first"], row["rows"]) for row in rows] == [
        ("reconstruction", "alarm5", True, 2),
        ("reconstruction", "fixed", False, 2),
        ("kmeans", "alarm5", True, 1),
    ]
    assert rows[1]["value"] == "35"
    assert rows[0]["ranking"] == ["0.9000"] * 3
    assert rows[0]["accuracies"] == ["-", "-"]  # the record has none


def test_metrics_of_maps_are_columns_where_there_are_masks(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run")
    record = json.loads((path / "metrics.json").read_text())
    scored = read_scored(path)
    assert "AUPRO" not in render([Entry("run", scored)])
    record |= {"test/pixel_auroc/kmeans": 0.75, "test/aupro/kmeans": 0.625}
    (path / "metrics.json").write_text(json.dumps(record))
    scored = read_scored(path)
    rows = metric_rows(scored)
    assert rows[2]["ranking"] == ["0.9000"] * 3 + ["0.7500", "0.6250"]
    assert rows[0]["ranking"] == ["0.9000"] * 3 + ["-"] * 2  # a score without a map
    table = re.search(r"<table>(.*?)</table>", render([Entry("run", scored)]), re.DOTALL)[1]  # type: ignore[index]
    headings = re.findall(r'<th scope="col".*?</th>', table)
    assert [re.sub("<.*?>", "", heading) for heading in headings[3:6]] == ["FPR95", "Pixel AUROC", "AUPRO"]
    first = table.split("<tbody>")[2]
    assert len(headings) == first.count("<td") + first.count("<th")


def test_no_name_becomes_html(tmp_path: Path) -> None:
    evil = "<script>alert(1)"
    path = make_run(tmp_path / evil, 100, (evil, "kmeans"))
    (path / "config.yaml").write_text(f"model: {{net: {{class_path: 'x.{evil}'}}}}\n")
    record = json.loads((path / "metrics.json").read_text()) | {"data": evil, "data_source": "</script>" + evil}
    (path / "metrics.json").write_text(json.dumps(record))
    scored = read_scored(path)
    page = render([Entry(evil, scored, without=evil)])
    assert page.count("<script") == 3  # the data, Chart.js, ours
    assert page.count("</script>") == 3
    assert page.count("&lt;script&gt;alert(1)") > 5
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
    assert data[0]["name"] == evil
    assert list(data[0]["scores"]) == [evil, "kmeans"]


def test_nothing_on_the_page_names_another_file(tmp_path: Path) -> None:
    page = render([Entry("run", read_scored(make_run(tmp_path / "run", 100)))])
    assert re.findall(r'(?:src|href)="(?!#|data:)([^"]+)', page) == ["https://www.chartjs.org"]
    assert "sourceMappingURL" not in page


def test_shown_are_the_worst_mistakes_and_images_from_everywhere(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run")
    scored = read_scored(path)
    rows = choose(scored, 48)
    assert len(rows) == len(set(rows)) == 48
    truth = column(path, "is_anomaly") == 1
    for score in ("reconstruction", "kmeans"):
        values = column(path, score)
        assert np.flatnonzero(~truth)[values[~truth].argmax()] in rows
        assert np.flatnonzero(truth)[values[truth].argmin()] in rows
        for kind in (truth, ~truth):
            shown = np.intersect1d(rows, np.flatnonzero(kind))
            places = np.searchsorted(np.sort(values[kind]), values[shown]) / kind.sum()
            assert ((places * 4).astype(int).clip(max=3) == np.arange(4)[:, None]).any(1).all()  # of every quarter
    assert choose(read_scored(make_run(tmp_path / "few", 10)), 48) == list(range(10))


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", "index,class,is_anomaly,kmeans\n", "index,class,is_anomaly,k\n1,2\n"]
)
def test_a_damaged_table_is_named(tmp_path: Path, text: str) -> None:
    (make_run(tmp_path / "run", 10) / "test_scores.csv").write_text(text)
    with pytest.raises(UserError, match=r"test_scores\.csv"):
        read_scored(tmp_path / "run")
