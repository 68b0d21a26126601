"""TensorBoard in a real browser shows two runs side by side, in every tab that has something to show.

`TENSORBOARD_PICTURE=FOLDER pytest -n 0 tests/test_browser.py -k picture` draws docs/img/tensorboard.png from the runs in
that folder.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aeanomaly.cli import main
from tests.conftest import DEBUG, REPOSITORY

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e '.[browser]'")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PICTURE = os.environ.get("TENSORBOARD_PICTURE")
# Quiet, without the machine's GPU, and without the sandbox, which refuses to run as root.
FLAGS = ("--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
         "--disable-component-update --disable-sync").split()  # fmt: skip
WAIT = 20_000  # ms; what is there appears within two seconds on an idle machine

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium or Chrome on the PATH (apt-get install chromium)"),
]
expect = sync_api.expect
RUNS = {"version_0": 3, "version_1": 5}  # name and size of the code


@contextmanager
def tensorboard(logs: Path, output: Path) -> Iterator[str]:
    """The address of a TensorBoard that runs meanwhile, on a free port of this machine."""
    words = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logs), "--host", "127.0.0.1", "--port", "0"]
    with output.open("w") as stream:
        process = subprocess.Popen(words, stdout=stream, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 30
        while not (address := re.search(r"http://127\.0\.0\.1:\d+", output.read_text())):
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.1)
        yield address[0]
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def chromium(width: int = 1400, height: int = 900) -> Iterator[sync_api.Page]:
    """An empty page in a fresh profile."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(WAIT)
        expect.set_options(timeout=WAIT)
        yield page
        browser.close()


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
    with tensorboard(logs, logs.parent / "tensorboard.txt") as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Page]:
    with chromium() as page:
        yield page


@pytest.fixture
def page(browser: sync_api.Page) -> Iterator[sync_api.Page]:
    """The page, whose scripts must not fail."""
    errors: list[str] = []
    browser.on("pageerror", lambda error: errors.append(str(error)))
    yield browser
    assert errors == []


def show(page: sync_api.Page, address: str, tab: str) -> None:
    page.goto("about:blank")  # otherwise only the fragment changes, and the page stays
    page.goto(f"{address}/#{tab}")


def test_hparams_shows_both_runs_with_what_differs_in_front(page: sync_api.Page, address: str, logs: Path) -> None:
    show(page, address, "hparams")
    table = page.locator("tf-hparams-table-view")
    # Nobody asked for this column: it is there because the runs differ in it.
    expect(table.get_by_text("model.net.code_size", exact=True)).to_be_visible()
    page.locator("tf-hparams-query-pane").get_by_text("test/auroc/reconstruction", exact=True).click()
    for run, size in RUNS.items():
        auroc = json.loads((logs / run / "metrics.json").read_text())["test/auroc/reconstruction"]
        for text in (run, f"{size:#.5g}", f"{auroc:#.5g}"):
            expect(table.get_by_text(text, exact=True).first).to_be_visible()


def test_scalars_overlays_both_runs(page: sync_api.Page, address: str) -> None:
    show(page, address, "timeseries")
    page.get_by_placeholder("Filter tags (regex)").fill("^val/loss$")
    card = page.locator("scalar-card")
    expect(card).to_have_count(1)
    for run in RUNS:
        expect(card.get_by_text(run, exact=True)).to_be_visible()


def test_custom_scalars_has_normal_and_anomalous_in_one_chart(page: sync_api.Page, address: str) -> None:
    show(page, address, "custom_scalars")
    for title in ("reconstruction: median and middle 90 %", "reconstruction: accuracies at threshold 3"):
        expect(page.get_by_text(title, exact=True)).to_be_visible()
    for kind in ("normal", "anomaly"):
        for run in RUNS:
            for tag in (f"val_spread/reconstruction/{kind}_median", f"val/{kind}_accuracy/reconstruction@3"):
                expect(page.get_by_text(f"{tag} ({run})", exact=True)).to_be_attached()


def test_histograms_has_both_kinds_of_both_runs(page: sync_api.Page, address: str) -> None:
    show(page, address, "histograms")
    for run in RUNS:
        for kind in ("normal", "anomaly"):
            card = page.locator("tf-histogram-loader").filter(has_text=f"test/kmeans/{kind}").filter(has_text=run)
            expect(card.locator("svg path.outline, svg .histogram path").first).to_be_attached()


def test_images_shows_the_figures(page: sync_api.Page, address: str) -> None:
    show(page, address, "images")
    for tag in ("test/reconstruction/density", "test/reconstructions"):
        for run in RUNS:
            card = page.locator("tf-image-loader").filter(has_text=tag).filter(has_text=run)
            picture = card.locator("img").first
            expect(picture).to_be_visible()
            page.wait_for_function("picture => picture.naturalWidth > 300", arg=picture.element_handle())


def test_pr_curves_overlays_both_runs(page: sync_api.Page, address: str) -> None:
    show(page, address, "pr_curves")
    card = page.locator("tf-pr-curve-card").filter(has_text="test/reconstruction/pr")
    for run in RUNS:
        expect(card.get_by_text(f"{run} is at")).to_be_visible()


def test_projector_shows_codes_with_thumbnails_and_classes(page: sync_api.Page, address: str) -> None:
    with page.expect_response(re.compile("sprite_image")) as sprite:
        show(page, address, "projector")
    assert sprite.value.ok
    frame = page.frame_locator("iframe").frame_locator("iframe")
    expect(frame.get_by_text("Points: 360")).to_be_visible()
    print(frame.locator("body").inner_text())
