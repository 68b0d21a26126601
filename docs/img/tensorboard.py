"""Draws tensorboard.png from a folder with two runs, which TensorBoard shows in a headless Chromium.

From the repository's root, with the extra `browser` installed and Chromium on the PATH:

    for size in 3 5; do
      python -m aeanomaly fit --config configs/debug.yaml --trainer.default_root_dir two --model.net.code_size $size
    done
    PYTHONPATH=. python docs/img/tensorboard.py two/lightning_logs
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect

from tests.browser import choose, chromium, projector, show, tensorboard

WINDOW = {"width": 1400, "height": 780}
# Below the bar of tabs, left of the empty third.
SHOWN = {"x": 0, "y": 64, "width": 1080, "height": 716}
SETTLED = 1500  # ms for charts and the Projector's camera to come to rest, which no event announces


def draw(logs: Path, target: Path) -> None:
    """Custom Scalars above the Projector."""
    with (
        tempfile.TemporaryDirectory() as folder,
        tensorboard(logs, Path(folder, "output.txt")) as address,
        chromium(**WINDOW) as page,
    ):
        show(page, address, "custom_scalars")
        expect(page.locator(".line-plot path[d^='M']").first).to_be_attached()
        page.wait_for_timeout(SETTLED)
        pictures = [page.screenshot(clip=SHOWN)]
        show(page, address, "projector")
        frame = projector(page)
        expect(frame.get_by_text(re.compile(r"Points: \d"))).to_be_visible()
        choose(frame, "vz-projector-data-panel paper-dropdown-menu >> nth=0", "version_1")
        choose(frame, "#colorby", "kind")
        page.wait_for_timeout(SETTLED)
        pictures.append(page.screenshot(clip=SHOWN))
    width, height = SHOWN["width"], SHOWN["height"]
    whole = Image.new("RGB", (width, 2 * height))
    for row, picture in enumerate(pictures):
        whole.paste(Image.open(io.BytesIO(picture)), (0, row * height))
    # A palette halves the file; octrees keep the rare red that median cut gives up.
    whole.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(target, optimize=True)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(__file__).with_suffix(".png"))
