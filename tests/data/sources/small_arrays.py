"""Small images and labels in files of both formats, and what a data module makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aeanomaly.data.sources.arrays import ArrayFiles
from aeanomaly.outputs import Batch

Files = dict[str, Path]
Array = np.ndarray[Any, Any]


def save_npy(path: Path, array: Array) -> None:
    with path.open("wb") as stream:
        np.save(stream, array)


def save_idx(path: Path, array: Array) -> None:
    sizes = np.array(array.shape, dtype=">u4").tobytes()
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes())


def arrays(image_shape: tuple[int, ...] = (8, 8)) -> dict[str, Array]:
    draw = np.random.default_rng(0)
    found: dict[str, Array] = {}
    for part, count in (("train", 2000), ("test", 300)):
        found[f"{part}_images"] = draw.integers(0, 256, (count, *image_shape), dtype=np.uint8)
        found[f"{part}_labels"] = draw.integers(0, 10, count)
    return found


def write(folder: Path, save: Callable[[Path, Array], None] = save_npy, **changed: Array) -> Files:
    """The four files, by option."""
    files = {}
    for option, array in (arrays() | changed).items():
        files[option] = folder / option
        save(files[option], array)
    return files


def source(files: Files, **options: Any) -> ArrayFiles:
    paths = {option: str(path) for option, path in files.items()}
    return ArrayFiles(**paths, anomaly_classes=[0], batch_size=64, eval_batch_size=128, split_seed=9, **options)


def batches(data: ArrayFiles) -> list[Batch]:
    data.setup()
    loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    return [batch for loader in loaders for batch in loader]


def same(one: list[Batch], other: list[Batch]) -> bool:
    pairs = [pair for batches in zip(one, other, strict=True) for pair in zip(*batches, strict=True)]
    return all(torch.equal(left, right) for left, right in pairs)
