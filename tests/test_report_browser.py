"""The page of a run in a real browser: the threshold moves, and the numbers are those of scikit-learn."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sklearn.metrics import confusion_matrix, precision_score, recall_score

from aeanomaly.page.page import Entry, SideBySide, render
from aeanomaly.page.scored import ScoredRun, read_scored
from tests.browser import CHROMIUM
from tests.page.parts import gallery, make_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

expect = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e '.[browser]'").expect
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium or Chrome on the PATH: apt-get install chromium"),
]
EVIL = "<script>document.title='evil'</script>"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[ScoredRun]:
    root = tmp_path_factory.mktemp("runs")
    return [read_scored(make_run(root / name, 10_000, seed=seed)) for seed, name in enumerate("ab")]


@pytest.fixture(scope="module")
def single(runs: list[ScoredRun]) -> Path:
    file = runs[0].run.path / "report.html"
    file.write_text(render([Entry(EVIL, runs[0], gallery(runs[0]))]), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def both(runs: list[ScoredRun]) -> Path:
    file = runs[1].run.path / "report.html"
    table = SideBySide([("run", False), ("code_size", True)], [["a", "3"], ["b", "8"]])
    entries = [Entry(scored.run.path.name, scored, gallery(scored, 12)) for scored in runs]
    file.write_text(render(entries, table), encoding="utf-8")
    return file


def shown(page: Page) -> dict[str, str]:
    names = ("passed", "alarms", "missed", "caught", "normal-accuracy", "anomaly-accuracy", "precision")
    return {name: page.locator(f"#{name}").inner_text().replace(",", "") for name in names}


def expected(scored: ScoredRun, score: str, threshold: float) -> dict[str, str]:
    flagged, truth = scored.scores[score].astype(float) > threshold, scored.is_anomaly
    (passed, alarms), (missed, caught) = confusion_matrix(truth, flagged)
    counts = {"passed": passed, "alarms": alarms, "missed": missed, "caught": caught}
    shares = {
        "normal-accuracy": recall_score(~truth, ~flagged),
        "anomaly-accuracy": recall_score(truth, flagged),
        "precision": precision_score(truth, flagged),
    }
    return {name: str(count) for name, count in counts.items()} | {
        name: f"{100 * share:.2f} %" for name, share in shares.items()
    }


def threshold(page: Page) -> float:
    """Where the page has it, exactly."""
    return float(page.evaluate("choice.threshold"))


def test_the_run_s_threshold_comes_first_and_another_by_its_button(
    page: Page, single: Path, runs: list[ScoredRun]
) -> None:
    page.goto(single.as_uri())
    assert shown(page) == expected(runs[0], "reconstruction", runs[0].thresholds("reconstruction")["alarm5"])
    page.get_by_role("button", name="fixed = 35").click()
    assert shown(page) == expected(runs[0], "reconstruction", 35)
    page.get_by_role("combobox", name="Score").select_option("kmeans")
    assert shown(page) == expected(runs[0], "kmeans", runs[0].thresholds("kmeans")["alarm5"])
    page.get_by_role("spinbutton", name="Threshold as a number").fill("20.5")
    assert shown(page) == expected(runs[0], "kmeans", 20.5)
    assert page.title() == f"Anomaly report: {EVIL}"


def test_a_nan_is_flagged_as_in_the_test(page: Page, tmp_path: Path) -> None:
    path = make_run(tmp_path / "run", 100)
    table = path / "test_scores.csv"
    table.write_text(re.sub(r"(?m)^([03],\d,\d,)[^,]*", r"\1nan", table.read_text()))  # a normal one and an anomaly
    scored = read_scored(path)
    (tmp_path / "report.html").write_text(render([Entry("run", scored, gallery(scored))]), encoding="utf-8")
    page.goto((tmp_path / "report.html").as_uri())
    page.get_by_role("spinbutton", name="Threshold as a number").fill("1e9")
    assert [shown(page)[name] for name in ("passed", "alarms", "missed", "caught")] == ["89", "1", "9", "1"]
    expect(page.locator("#gallery .alarm")).to_have_count(1)  # drawn a moment after the counts


def test_of_very_many_images_a_sample_is_counted(
    page: Page, runs: list[ScoredRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aeanomaly.page.content._MOST_SCORES", 4000)
    file = tmp_path / "report.html"
    file.write_text(render([Entry("run", runs[0], gallery(runs[0]))]), encoding="utf-8")
    page.goto(file.as_uri())
    expect(page.get_by_text("a random sample of 2,000 of")).to_be_visible()
    counts = {name: int(shown(page)[name]) for name in ("passed", "alarms", "missed", "caught")}
    assert sum(counts.values()) == 2000
    of_all = expected(runs[0], "reconstruction", threshold(page))
    for name, count in counts.items():
        assert abs(count - int(of_all[name]) / 5) < 5 * max(count, 1) ** 0.5  # standard deviations
    expect(page.locator("#gallery-said")).to_contain_text("Of the 48 images kept here (of 10,000)")
    shown_first = page.locator("#gallery .card").first.inner_text()
    assert "False alarm" in shown_first or "Missed anomaly" in shown_first


def test_a_drag_on_the_chart_moves_it(page: Page, single: Path, runs: list[ScoredRun]) -> None:
    page.goto(single.as_uri())
    chart = page.locator("#densities")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    x, y = box["x"], box["y"] + box["height"] / 2
    page.mouse.move(x + 0.4 * box["width"], y)
    assert threshold(page) == runs[0].start("reconstruction")  # a pointer that only passes moves nothing
    page.mouse.down()
    before = threshold(page)
    page.mouse.move(x + 0.7 * box["width"], y, steps=5)
    page.mouse.up()
    page.mouse.move(x + 0.2 * box["width"], y)
    after = threshold(page)
    assert after - before == pytest.approx(
        0.3 * box["width"] * page.evaluate("(s => (s.max - s.min) / s.width)(charts.densities.scales.x)"), rel=1e-2
    )
    assert shown(page) == expected(runs[0], "reconstruction", after)
    line = page.evaluate("charts.densities.data.datasets[0].data.map((point) => point.x)")
    assert line == [after, after]


def test_keys_on_the_slider_move_it_and_the_points_on_the_curves(
    page: Page, single: Path, runs: list[ScoredRun]
) -> None:
    page.goto(single.as_uri())
    slider = page.get_by_role("slider", name="Threshold")
    slider.focus()
    before = threshold(page)
    for _ in range(20):
        slider.press("ArrowLeft")
    after = threshold(page)
    assert after < before
    now = expected(runs[0], "reconstruction", after)
    assert shown(page) == now
    assert now["normal-accuracy"] in str(slider.get_attribute("aria-valuetext"))
    truth, flagged = runs[0].is_anomaly, runs[0].scores["reconstruction"] > after
    (dot,) = page.evaluate("charts.roc.data.datasets[0].data")
    assert (dot["x"], dot["y"]) == pytest.approx((flagged[~truth].mean(), flagged[truth].mean()))
    (dot,) = page.evaluate("charts.pr.data.datasets[0].data")
    assert (dot["x"], dot["y"]) == pytest.approx((flagged[truth].mean(), truth[flagged].mean()))
    expect(page.locator("#said")).to_contain_text(f"{int(now['missed']):,} are missed")
    assert now["precision"] in str(page.locator("#pr").get_attribute("aria-label"))


def test_misjudged_images_come_first_at_every_threshold(page: Page, single: Path, runs: list[ScoredRun]) -> None:
    page.goto(single.as_uri())
    cards = page.locator("#gallery .card")
    expect(cards).to_have_count(48)
    for value in (20.0, 60.0):
        page.get_by_role("spinbutton", name="Threshold as a number").fill(str(value))
        expect(page.locator("#said")).to_contain_text(f"At {value:g}")
        texts = cards.all_inner_texts()
        rows = [int(text.partition("Image ")[2].split()[0]) for text in texts]
        wrong = (runs[0].scores["reconstruction"][rows] > value) != runs[0].is_anomaly[rows]
        assert 0 < wrong.sum() < len(rows)
        assert wrong.tolist() == sorted(wrong.tolist(), reverse=True)
        assert [("False alarm" in text) or ("Missed anomaly" in text) for text in texts] == wrong.tolist()
    page.get_by_role("combobox", name="Show").select_option("miss")
    expect(cards).to_have_count(int((wrong & runs[0].is_anomaly[rows]).sum()))
    assert page.evaluate("[...document.images].every((image) => image.alt)")


def test_a_score_without_a_map_borrows_one(page: Page, runs: list[ScoredRun], tmp_path: Path) -> None:
    """As in a run of best.yaml with where.yaml: nets of features have no error of pixels, and one score gives a map."""
    shown, file = gallery(runs[0], 4), tmp_path / "borrowed.html"
    for pictures in shown.test.values():
        pictures["map:kmeans"] = pictures.pop("map:reconstruction")
        for name in ("squared error", "reconstruction"):
            del pictures[name]
    file.write_text(render([Entry("run", runs[0], shown)]), encoding="utf-8")
    page.goto(file.as_uri())
    captions = page.locator("#gallery .card").first.locator("figcaption")
    expect(captions).to_have_text(["input", "kmeans map"])
    page.get_by_role("combobox", name="Score").select_option("kmeans")
    expect(captions).to_have_text(["input", "map"])


def test_without_anomalies_nothing_is_said_of_curves_but_why_there_are_none(page: Page, tmp_path: Path) -> None:
    file = make_run(tmp_path / "run", 100, ("kmeans",)) / "test_scores.csv"
    file.write_text(re.sub(r"(?m)^(\d+,\d+),1", r"\1,0", file.read_text()))
    report = tmp_path / "report.html"
    report.write_text(render([Entry("run", read_scored(file.parent))]), encoding="utf-8")
    page.goto(report.as_uri())
    expect(page.locator("#no-curves")).to_be_visible()
    for part in ("#curves", "#legend", "#about-dot"):
        expect(page.locator(part)).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_any_width_and_either_scheme(page: Page, both: Path, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(both.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground.strip("rgb()").split(","))) < 150) == (scheme == "dark")


def test_several_runs_share_the_curves_and_are_chosen_from(page: Page, both: Path, runs: list[ScoredRun]) -> None:
    page.goto(both.as_uri())
    assert page.evaluate("charts.roc.data.datasets.map((line) => line.label)") == ["threshold", "a", "b", "by chance"]
    expect(page.locator("#legend li")).to_have_count(2)
    assert shown(page) == expected(runs[0], "reconstruction", runs[0].start("reconstruction"))
    page.get_by_role("combobox", name="Run").select_option("b")
    assert shown(page) == expected(runs[1], "reconstruction", runs[1].start("reconstruction"))
    expect(page.get_by_role("heading", name="b", exact=True).first).to_be_visible()
    expect(page.get_by_role("heading", name="a", exact=True)).to_have_count(0)


def test_a_page_of_ten_thousand_images_stays_small(single: Path) -> None:
    assert single.stat().st_size < 1_500_000
