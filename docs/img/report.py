"""Draws report.png from the report.html of a run, in a headless Chromium.

From the repository's root, with the extra `browser` installed and Chromium on the PATH:

    python -m aeanomaly fit --config configs/base.yaml --trainer.max_epochs 3
    PYTHONPATH=. python docs/img/report.py lightning_logs/version_0/report.html
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect

from tests.browser import chromium

WIDTH, ROWS = 1280, 2  # of the window, and of test images


def draw(report: Path, target: Path) -> None:
    """From the metrics to the first rows of test images."""
    with chromium(WIDTH, 900) as page:
        page.set_default_timeout(120_000)  # ms: for a busy machine
        page.goto(report.resolve().as_uri())
        cards = page.locator("#gallery .card")
        expect(cards.first).to_be_visible()
        page.wait_for_function("[...document.images].every((image) => image.complete)")
        last = cards.nth(ROWS * page.evaluate(_COLUMNS) - 1).bounding_box()
        assert last is not None
        height = last["y"] + last["height"] + 16
        picture = page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": WIDTH, "height": height})
    whole = Image.open(io.BytesIO(picture)).convert("RGB")

    # A palette takes a third of the file; this way of choosing one keeps the pale grey of the cards apart from white.
    whole.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE).save(
        target, optimize=True
    )


_COLUMNS = "getComputedStyle(document.getElementById('gallery')).gridTemplateColumns.split(' ').length"

if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(__file__).with_suffix(".png"))
