"""TensorBoard in a real browser shows two runs side by side, in every tab that has something to show."""

from __future__ import annotations

import io
import json
import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from aeanomaly.commands.main import main
from tests.browser import CHROMIUM, WAIT, choose, projector, show, tensorboard
from tests.conftest import DEBUG

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

expect = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e '.[browser]'").expect
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium or Chrome on the PATH: apt-get install chromium"),
]
RUNS = {"version_0": 3, "version_1": 5}  # name and size of the code


def drawn_lines(card: Locator) -> Locator:
    """The curves in a chart of the older tabs."""
    return card.locator(".line-plot path[d^='M']")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs that differ in the size of the code."""
    root = tmp_path_factory.mktemp("browser")
    for size in RUNS.values():
        words = ["fit", "--config", DEBUG, "--trainer.default_root_dir", str(root), "--trainer.max_epochs", "2"]
        assert main([*words, "--model.net.code_size", str(size)]) == 0
    return root / "lightning_logs"


@pytest.fixture(scope="module")
def address(logs: Path) -> Iterator[str]:
    """Of a TensorBoard that has read both runs to their ends: a page opened earlier would stay empty."""
    with tensorboard(logs, logs.parent / "tensorboard.txt") as url:
        deadline = time.monotonic() + WAIT
        while True:
            with urllib.request.urlopen(f"{url}/data/plugin/scalars/tags", timeout=WAIT) as answer:
                tags = json.load(answer)
            if all("test/auroc/reconstruction" in tags.get(run, {}) for run in RUNS):
                break
            assert time.monotonic() < deadline, tags
            time.sleep(0.1)
        yield url


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    """The page, whose scripts must not fail."""
    errors: list[str] = []
    browser.on("pageerror", lambda error: errors.append(str(error)))
    yield browser
    assert errors == []


def test_hparams_shows_both_runs_with_what_differs_in_front(page: Page, address: str, logs: Path) -> None:
    show(page, address, "hparams")
    table = page.locator("tf-hparams-table-view")
    # Nobody asked for this column: it is there because the runs differ in it.
    expect(table.get_by_text("model.net.code_size", exact=True)).to_be_visible()
    page.get_by_role("checkbox", name="test/auroc/reconstruction", exact=True).click()
    for run, size in RUNS.items():
        auroc = json.loads((logs / run / "metrics.json").read_text())["test/auroc/reconstruction"]
        for text in (run, f"{size:#.5g}", f"{auroc:#.5g}"):
            expect(table.get_by_text(text, exact=True).first).to_be_visible()


def test_scalars_overlays_both_runs(page: Page, address: str) -> None:
    show(page, address, "scalars")
    page.locator("tf-tag-filterer input").fill("^val/loss$")
    card = page.locator("tf-scalar-card").filter(has_text="val/loss")
    expect(drawn_lines(card)).to_have_count(2 * len(RUNS))  # as they are and smoothed
    show(page, address, "timeseries")
    card = page.locator("scalar-card:visible")
    expect(card.first).to_be_visible()  # before that, the page forgets what is typed
    page.get_by_role("combobox", name="Filter tags (regex)").fill("^val/loss$")
    expect(card).to_have_count(1)
    for run in RUNS:
        expect(card.get_by_text(run, exact=True)).to_be_visible()


def test_custom_scalars_has_normal_and_anomalous_in_one_chart(page: Page, address: str) -> None:
    show(page, address, "custom_scalars")
    for title in ("reconstruction: median and middle 90 %", "reconstruction: accuracies at threshold fixed"):
        expect(page.get_by_text(title, exact=True)).to_be_visible()
    for kind in ("normal", "anomaly"):
        for run in RUNS:
            for tag in (f"val_spread/reconstruction/{kind}_median", f"val/{kind}_accuracy/reconstruction@fixed"):
                expect(page.locator(".match-list-entry").filter(has_text=f"{tag} ({run})")).to_have_count(1)


def test_histograms_has_both_kinds_of_both_runs(page: Page, address: str) -> None:
    show(page, address, "histograms")
    for run in RUNS:
        for kind in ("normal", "anomaly"):
            card = page.locator("tf-histogram-loader").filter(has_text=f"test/kmeans/{kind}").filter(has_text=run)
            expect(card.locator(".histogram path.outline[d^='M']")).to_have_count(1)


def test_images_shows_the_figures(page: Page, address: str) -> None:
    show(page, address, "images")
    for tag in ("test/reconstruction/density", "test/reconstructions"):
        for run in RUNS:
            card = page.locator("tf-image-loader").filter(has_text=tag).filter(has_text=run)
            picture = card.locator("img").first
            expect(picture).to_be_visible()
            page.wait_for_function("picture => picture.naturalWidth > 300", arg=picture.element_handle())


def test_pr_curves_overlays_both_runs(page: Page, address: str) -> None:
    show(page, address, "pr_curves")
    card = page.locator("tf-pr-curve-card").filter(has_text="test/reconstruction/pr")
    for run in RUNS:
        expect(card.get_by_text(f"{run} is at")).to_be_visible()
    expect(drawn_lines(card)).to_have_count(len(RUNS))


def test_projector_shows_codes_with_thumbnails_and_classes(page: Page, address: str) -> None:
    with page.expect_response(re.compile("sprite_image")) as sprite:
        show(page, address, "projector")
    assert sprite.value.ok
    frame = projector(page)
    for run, size in RUNS.items():
        if run != "version_0":
            choose(frame, "vz-projector-data-panel paper-dropdown-menu >> nth=0", run)
        expect(frame.get_by_text(f"Dimension: {size}")).to_be_visible()
        expect(frame.get_by_text("Points: 360")).to_be_visible()
    choose(frame, "#colorby", "kind")
    legend = frame.locator("vz-projector-legend")
    for kind in ("normal", "anomaly"):
        expect(legend.get_by_text(kind, exact=True)).to_be_visible()
    # The points are drawn on a canvas, of which only the picture can tell.
    deadline = time.monotonic() + WAIT
    while colours(frame.locator("#scatter canvas").first.screenshot()) < 100:
        assert time.monotonic() < deadline, "the Projector's canvas stays empty"


def colours(png: bytes) -> int:
    """How many distinct colours a picture has."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    return len(np.unique(pixels.reshape(-1, 3), axis=0))
