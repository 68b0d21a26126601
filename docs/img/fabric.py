"""Makes photographs of a woven fabric, some with a fault, for whoever has none of their own to try docs/using.md with.

    python docs/img/fabric.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, special

Values = NDArray[np.float64]

HEIGHT, WIDTH = 180, 240
FAULTS = ("hole", "stain", "thread")
UNNOTICED = (17, 101)  # of the good ones, that have a fault nobody has seen


def fabric(generator: np.random.Generator) -> Values:
    """(H, W) of threads that cross, no two alike, in a light that falls from somewhere."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    turn, light = generator.normal(0, 0.04), generator.normal(0, 0.05, 2)
    across, down = columns * np.cos(turn) + rows * np.sin(turn), rows * np.cos(turn) - columns * np.sin(turn)
    phases = generator.uniform(0, 2 * np.pi, 2)
    weave = np.sin(2 * np.pi * across / 9 + phases[0]) * np.sin(2 * np.pi * down / 9 + phases[1])
    for position in (across, down):
        threads = ndimage.gaussian_filter1d(generator.standard_normal(400), 1.5)
        weave += 0.5 * np.interp(position, np.arange(400) - 50, threads)
    slope = light[0] * (rows / HEIGHT - 0.5) + light[1] * (columns / WIDTH - 0.5)
    return 0.55 + 0.12 * weave + slope + generator.normal(0, 0.02)


def faulty(image: Values, kind: str, generator: np.random.Generator) -> tuple[Values, Values]:
    """The image with a fault somewhere, and how much of each pixel it covers, 0 to 1."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    rows, columns = rows - generator.uniform(0.2, 0.8) * HEIGHT, columns - generator.uniform(0.2, 0.8) * WIDTH
    angle = generator.uniform(0, np.pi)
    along, beside = rows * np.sin(angle) + columns * np.cos(angle), rows * np.cos(angle) - columns * np.sin(angle)
    if kind == "hole":
        wide, high = generator.uniform(6, 11, 2)
        cover = special.expit(4 - 4 * np.hypot(along / wide, beside / high) ** 2)
        return image * (1 - cover) + 0.1 * cover, cover
    if kind == "stain":
        wide, high = generator.uniform(16, 30, 2)
        cover = special.expit(8 - 8 * np.hypot(along / wide, beside / high) ** 2)
        return image * (1 - generator.uniform(0.15, 0.3) * cover), cover
    bent = beside - generator.uniform(-6, 6) * np.sin(along / 15)
    cover = np.exp(-((bent / 1.6) ** 2)) * (abs(along) < generator.uniform(30, 50))
    return image * (1 - cover) + 0.9 * cover, cover


def photograph(image: Values, generator: np.random.Generator) -> Image.Image:
    """As a camera sees it: a tint of the light, and noise."""
    tint = np.array([1.0, 0.94, 0.8]) * generator.normal(1, 0.01, 3)
    pixels = image[..., None] * tint + generator.normal(0, 0.02, (HEIGHT, WIDTH, 3))
    return Image.fromarray((pixels.clip(0, 1) * 255).round().astype(np.uint8))


def make(folder: Path, good: int, tested: int, faults: int, new: int) -> None:
    """Write ``train/good``, ``test/good``, ``test/FAULT`` with masks in ``ground_truth``, and ``new``, some with faults.

    Args:
        folder: made if need be.
        good: pictures to train on.
        tested: pictures of ``test/good``.
        faults: pictures of each fault to test with.
        new: pictures that nobody has looked at; every eighth has a fault.
    """
    kinds = [FAULTS[number % 3] if number in UNNOTICED else "" for number in range(good)] + [""] * tested
    kinds += [kind for kind in FAULTS for _ in range(faults)]
    kinds += ["" if number % 8 else FAULTS[number // 8 % 3] for number in range(new)]
    places = [f"train/good/{number:03}" for number in range(good)] + [f"test/good/{n:03}" for n in range(tested)]
    places += [f"test/{kind}/{number:03}" for kind in FAULTS for number in range(faults)]
    places += [f"new/{number:03}" for number in range(new)]
    for number, (place, kind) in enumerate(zip(places, kinds, strict=True)):
        generator = np.random.default_rng(number)
        image = fabric(generator)
        if kind:
            image, cover = faulty(image, kind, generator)
        path = folder / f"{place}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        photograph(image, generator).save(path, quality=90)
        if place.startswith(f"test/{kind}/"):
            mask = folder / f"ground_truth/{kind}/{path.stem}_mask.png"
            mask.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(cover > 0.5).save(mask)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("pictures"))
    for name, count in (("good", 160), ("tested", 20), ("faults", 6), ("new", 40)):
        parser.add_argument(f"--{name}", type=int, default=count, metavar="N")
    make(**vars(parser.parse_args()))
