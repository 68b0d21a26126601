"""TensorBoard on a free port and a headless Chromium that looks at it; docs/img/tensorboard.py uses them too."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the extra `browser`, which need not be installed
    from playwright.sync_api import FrameLocator, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# No GPU, no calls home, and not the sandbox, which refuses to run as root.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT = 20.0  # seconds; what is there appears within three on an idle machine


@contextmanager
def tensorboard(logs: Path, output: Path) -> Iterator[str]:
    """The address of a TensorBoard that runs meanwhile; what it says goes to the file ``output``."""
    words = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logs), "--host", "127.0.0.1", "--port", "0"]
    with output.open("w") as stream:
        process = subprocess.Popen(words, stdout=stream, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 2 * WAIT
        while not (address := re.search(r"http://127\.0\.0\.1:\d+", output.read_text())):
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.1)
        yield address[0]
    finally:
        process.terminate()
        try:
            process.wait(WAIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def chromium(width: int = 1400, height: int = 900) -> Iterator[Page]:
    """An empty page in a fresh profile."""
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(1000 * WAIT)
        expect.set_options(timeout=1000 * WAIT)
        try:
            yield page
        finally:
            browser.close()


def show(page: Page, address: str, tab: str) -> None:
    """Open a tab of TensorBoard afresh."""
    page.goto("about:blank")  # otherwise only the fragment changes, and the page stays
    page.goto(f"{address}/#{tab}")


def projector(page: Page) -> FrameLocator:
    """The inside of the Projector."""
    return page.frame_locator("iframe").frame_locator("iframe")


def choose(frame: FrameLocator, menu: str, option: str) -> None:
    """Pick from a drop-down list of the Projector."""
    frame.locator(menu).click()
    frame.locator(menu).locator("paper-item").filter(has_text=option).click()
