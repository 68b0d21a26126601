"""Makes photographs of a woven fabric, some with a fault, to try docs/using.md with.

They lie in pictures/ and later/ of the current folder:

    python docs/img/fabric.py
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, special

Values = NDArray[np.float64]

HEIGHT, WIDTH = 180, 240
FAULTS = ("hole", "stain", "thread")
UNNOTICED = (23, 58, 101)  # of the good pictures, that have a fault which nobody has seen


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
        wide, high = generator.uniform(8, 15, 2)
        cover = special.expit(4 - 4 * np.hypot(along / wide, beside / high) ** 2)
        return image * (1 - cover) + 0.1 * cover, cover
    if kind == "stain":
        wide, high = generator.uniform(20, 36, 2)
        cover = special.expit(8 - 8 * np.hypot(along / wide, beside / high) ** 2)
        return image * (1 - generator.uniform(0.2, 0.35) * cover), cover
    bent = beside - generator.uniform(-6, 6) * np.sin(along / 15)
    cover = np.exp(-((bent / 2) ** 2)) * (abs(along) < generator.uniform(35, 60))
    return image * (1 - cover) + 0.9 * cover, cover


def photograph(image: Values, generator: np.random.Generator) -> Image.Image:
    """As a camera sees it: a tint of the light, and noise."""
    tint = np.array([1.0, 0.94, 0.8]) * generator.normal(1, 0.01, 3)
    pixels = image[..., None] * tint + generator.normal(0, 0.02, (HEIGHT, WIDTH, 3))
    return Image.fromarray((pixels.clip(0, 1) * 255).round().astype(np.uint8))


def place(root: Path, folder: str, kind: str, numbers: Iterable[int], seed: int) -> None:
    """Write photographs ``folder/000.jpg`` and so on, all with this fault or none; of those to test with, masks too."""
    for number in numbers:
        generator = np.random.default_rng((seed, number))
        image, path = fabric(generator), root / folder / f"{number:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind:
            image, cover = faulty(image, kind, generator)
            if folder == f"pictures/test/{kind}":
                mask = root / f"pictures/ground_truth/{kind}/{number:03}_mask.png"
                mask.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(cover > 0.5).save(mask)
        photograph(image, generator).save(path, quality=90)


def make(root: Path, good: int, tested: int, faults: int, later: int) -> None:
    """Write ``pictures``, in the layout of MVTec AD, and ``later``, where every eighth has a fault.

    Args:
        root: the folder for both.
        good: pictures to train on. Three of them have a fault.
        tested: good pictures to test with.
        faults: pictures of each fault to test with.
        later: pictures that nobody has looked at.
    """
    place(root, "pictures/train/good", "", set(range(good)) - set(UNNOTICED), seed=0)
    place(root, "pictures/test/good", "", range(tested), seed=1)
    place(root, "later", "", [number for number in range(later) if number % 8], seed=21)
    for number, kind in enumerate(FAULTS):
        place(root, "pictures/train/good", kind, [UNNOTICED[number]], seed=0)
        place(root, f"pictures/test/{kind}", kind, range(faults), seed=3 + number)
        place(root, "later", kind, range(8 * number, later, 8 * len(FAULTS)), seed=21)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(), help="the folder for both")
    for name, count in (("good", 400), ("tested", 40), ("faults", 10), ("later", 40)):
        parser.add_argument(f"--{name}", type=int, default=count, metavar="N", help=f"default: {count}")
    make(**vars(parser.parse_args()))
