"""Draws heatmaps.png: pictures, and below each what `predict --heatmaps heatmaps` has drawn of it.

After the commands of docs/using.md, whose picture this is:

    python docs/img/heatmaps.py later/000.jpg later/008.jpg later/016.jpg later/001.jpg
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

SIDE, GAP = 128, 6  # pixels: of a picture as the net sees it, and between two


def draw(pictures: list[Path], target: Path) -> None:
    """The pictures of one folder side by side."""
    step = SIDE + GAP
    sheet = Image.new("RGB", (step * len(pictures) - GAP, 2 * step - GAP), "white")
    for column, picture in enumerate(pictures):
        for row, file in enumerate((picture, Path("heatmaps", f"{picture.name}.patches.png"))):
            sheet.paste(Image.open(file).convert("RGB").resize((SIDE, SIDE)), (column * step, row * step))
    sheet.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1).save(target, optimize=True)  # a third of the file


if __name__ == "__main__":
    draw([Path(word) for word in sys.argv[1:]], Path(__file__).with_suffix(".png"))
