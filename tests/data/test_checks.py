"""What a data source gives is checked before anything is split; more about files is in sources/test_arrays.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aeanomaly.data.base import Arrays, OneClassDataModule
from aeanomaly.data.loading import IndexBatches
from aeanomaly.data.sources.arrays import ArrayFiles
from aeanomaly.errors import UserError


class Own(OneClassDataModule):
    """A source of the user's own that gives whatever it is made with."""

    def __init__(self, **changed: torch.Tensor) -> None:
        super().__init__(anomaly_classes=[0])
        images, labels = torch.zeros(40, 1, 8, 8, dtype=torch.uint8), torch.arange(40) % 4
        self._arrays = Arrays(images, labels, images, labels)._replace(**changed)

    def load(self) -> Arrays:
        return self._arrays


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"train_images": torch.zeros(40, 1, 8, 8)}, r"the train images are float32 \[40, 1, 8, 8\]; they must be"),
        ({"test_images": torch.zeros(40, 8, 8, dtype=torch.uint8)}, r"the test images are uint8 \[40, 8, 8\]"),
        ({"train_images": torch.zeros(0, 1, 8, 8, dtype=torch.uint8)}, "at least one image"),
        ({"test_labels": torch.zeros(39, dtype=torch.int64)}, "39 labels for 40 test images"),
        ({"train_labels": torch.zeros(40)}, r"the train labels are float32 \[40\], not \(N,\) int64"),
    ],
)
def test_what_a_source_of_ones_own_gives_is_checked(changed: dict[str, torch.Tensor], reason: str) -> None:
    Own().setup()
    with pytest.raises(UserError, match=f"Own: .*{reason}"):
        Own(**changed).setup()


def files(folder: Path, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> dict[str, str]:
    """The same images for training and test, by option."""
    for name, array in (("images", images), ("labels", labels)):
        np.save(folder / f"{name}.npy", array)
    return {
        f"{part}_{name}": str(folder / f"{name}.npy") for part in ("train", "test") for name in ("images", "labels")
    }


def test_labels_below_zero_are_classes_once_they_are_named(tmp_path: Path) -> None:
    named = files(tmp_path, np.zeros((200, 8, 8), np.uint8), np.arange(200) % 10 - 1)
    with pytest.raises(UserError, match=r"data.train_labels: .* has the label -1, .* or name class -1 in"):
        ArrayFiles(**named, anomaly_classes=[0]).setup()
    data = ArrayFiles(**named, anomaly_classes=[-1, 0])
    data.setup()
    assert data.sizes()["test_anomaly"] == 40


def test_channels_of_a_signal_are_not_taken_for_pixels(tmp_path: Path) -> None:
    signals = files(tmp_path, np.zeros((200, 16, 50, 1), np.uint8), np.arange(200) % 4)
    data = ArrayFiles(**signals, anomaly_classes=[0])
    data.setup()
    assert data.image_shape == (16, 50, 1)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    named = files(tmp_path, np.zeros((200, 8, 8), np.uint8), np.arange(200) % 4)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=r"data.train_images: .*pipe: it is a pipe or a device, not a file"):
        ArrayFiles(**named | {"train_images": str(tmp_path / "pipe")}, anomaly_classes=[0]).setup()


@pytest.mark.parametrize(("most", "beyond"), [(2**64 - 1, 2**64), (-(2**63), -(2**63) - 1)])
def test_every_seed_of_the_split_that_is_taken_orders_batches_too(most: int, beyond: int) -> None:
    batches = IndexBatches(50, 8, OneClassDataModule(anomaly_classes=[0], split_seed=most).split_seed)
    batches.set_epoch(2**20 - 1)
    assert sorted(torch.cat(list(batches)).tolist()) == list(range(50))
    for seed in (beyond, 2**70):
        with pytest.raises(UserError, match=rf"data.split_seed must lie between -2\*\*63 and 2\*\*64 - 1, got {seed}"):
            OneClassDataModule(anomaly_classes=[0], split_seed=seed)
