"""Picture files that the tests make."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from aeanomaly.data.sources.folder import PictureFolder


def content(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The image as a file of this kind."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def noise(seed: int, height: int = 8, width: int = 8) -> Image.Image:
    """A colour picture like no other."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def put(root: Path, name: str, data: bytes) -> Path:
    """Write a file, in a folder that need not exist."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def fill(root: Path, **counts: int) -> None:
    """So many different pictures in each folder; ``train_good`` stands for train/good."""
    for number, (place, count) in enumerate(counts.items()):
        for index in range(count):
            put(root, f"{place.replace('_', '/')}/{index:03}.png", content(noise(1000 * number + index)))


def fill_inspection(root: Path) -> None:
    """20 + 4 good ones and 3 with a scratch, which have masks of their left half."""
    fill(root, train_good=20, test_good=4, test_scratch=3)
    mask = Image.fromarray(np.repeat(np.array([[255] * 4 + [0] * 4], np.uint8), 8, axis=0))
    for index in range(3):
        put(root, f"ground_truth/scratch/{index:03}_mask.png", content(mask))


def source(root: Path, **options: Any) -> PictureFolder:
    """The folder as a data source of 8x8 pixels."""
    return PictureFolder(str(root), **{"size": 8, "batch_size": 8, "split_seed": 9, **options})


def names(paths: Sequence[str], root: Path) -> list[str]:
    """Paths without the root."""
    return [Path(path).relative_to(root).as_posix() for path in paths]
