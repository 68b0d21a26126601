"""Images and labels from files of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aeanomaly.data.base import Arrays, OneClassDataModule
from aeanomaly.data.checks import refuse_other_images
from aeanomaly.data.sources.array_files import MappedBytes, open_array
from aeanomaly.errors import UserError


class ArrayFiles(OneClassDataModule):
    """Images and labels in `.npy` or idx files, which may be larger than memory.

    Images are uint8, (N, H, W) or (N, C, H, W); labels are integers, (N,), and those below 0, which often stand for
    unlabelled images, must be named as normal or anomalous. Both formats are recognised by content. Compressed files
    must be unpacked first.

    Args:
        train_images: file of the training images, normal and anomalous.
        train_labels: file of their classes.
        test_images: file of the test images.
        test_labels: file of their classes.
        memory_map: leave the images in their files and fetch what each batch needs, which costs memory only as far as
            there is some to spare; false reads them into memory at the start. The batches are the same.
        options: those of `OneClassDataModule`.
    """

    def __init__(
        self,
        train_images: str,
        train_labels: str,
        test_images: str,
        test_labels: str,
        memory_map: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        files = {"train_images": train_images, "train_labels": train_labels}
        files |= {"test_images": test_images, "test_labels": test_labels}
        self.files = {option: Path(file) for option, file in files.items()}
        self.memory_map = memory_map
        self._mapped: dict[str, MappedBytes] = {}
        self._stamps: dict[str, tuple[int, int]] = {}

    def load(self) -> Arrays:
        """Read the files, or map those of the images.

        Raises:
            UserError: if a file cannot be read, is of an unknown format, incomplete, or holds something else than
                described above, or if the files do not belong together.
        """
        train, test = self._images("train_images"), self._images("test_images")
        if train.shape[1:] != test.shape[1:]:
            raise UserError(
                f"images of {self.files['test_images']} are {list(test.shape[1:])} (C, H, W), but those of "
                f"{self.files['train_images']} {list(train.shape[1:])}; they must be alike"
            )
        return Arrays(train, self._labels("train_labels", len(train)), test, self._labels("test_labels", len(test)))

    def teardown(self, stage: str) -> None:
        """End a fit or a test.

        Raises:
            UserError: if a file of images was changed in the meantime: what was trained or tested would be of neither.
        """
        super().teardown(stage)
        for option, stamp in self._stamps.items():
            path = self.files[option]
            if not path.is_file() or _stamp(path) != stamp:
                raise UserError(
                    f"data.{option}: {path} was changed while it was read from, so that the results would be those of "
                    "no data set; begin again"
                )

    def will_read(self, array: str) -> Callable[[Tensor], None] | None:
        """Have the images of a batch, or of several, fetched all at once before they are read one after the other."""
        return self._mapped[array].will_read if self.memory_map else None

    @property
    def source(self) -> str:
        """The file of the training images."""
        return str(self.files["train_images"])

    def _open(self, option: str) -> np.memmap[Any, Any]:
        if not str(self.files[option]).strip("."):  # Path("") is the current folder
            raise UserError(f"data.{option} must be the name of a file")
        try:
            return open_array(self.files[option])
        except UserError as error:
            raise UserError(f"data.{option}: {error}") from None

    def _images(self, option: str) -> Tensor:
        path = self.files[option]
        if self.memory_map and path.is_file():  # what is copied may change later
            self._stamps[option] = _stamp(path)
        array = self._open(option)
        refuse_other_images(array, f"data.{option}: {path}")
        if self.memory_map:
            mapped = self._mapped[option.removesuffix("_images")] = MappedBytes(array)
        tensor = mapped.tensor if self.memory_map else torch.from_numpy(np.array(array))
        return tensor if tensor.ndim == 4 else tensor.unsqueeze(1)

    def _labels(self, option: str, count: int) -> Tensor:
        path = self.files[option]
        array = self._open(option)
        if array.dtype.kind not in "iu" or array.ndim != 1:
            raise UserError(
                f"data.{option}: {path} holds {array.dtype} of shape {list(array.shape)}; labels must be (N,) integers"
            )
        if len(array) != count:
            raise UserError(f"data.{option}: {path} has {len(array):,} labels for {count:,} images")
        if array.max(initial=0) >= 2**63:
            raise UserError(f"data.{option}: {path} has the label {array.max()}; classes must be below 2**63")
        named = {*(self.normal_classes or ()), *(self.anomaly_classes or ())}
        below = next((int(label) for label in np.unique(array[array < 0]) if int(label) not in named), None)
        if below is not None:
            raise UserError(
                f"data.{option}: {path} has the label {below}, which often stands for unlabelled images: leave them "
                f"out, or name class {below} in data.normal_classes or data.anomaly_classes"
            )
        return torch.from_numpy(np.array(array, np.int64))


def _stamp(path: Path) -> tuple[int, int]:
    """What changes when a file is written to: its size in bytes, and when it was, in nanoseconds."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns
