"""The one-class DataModule that every data source builds on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal

import lightning as L
import torch
from torch import Tensor

from aeanomaly.data.checks import checked
from aeanomaly.data.loading import BatchesInOrder, IndexBatches, IndexLoader, index_loader
from aeanomaly.data.parts import divide
from aeanomaly.data.splits import Class, anomalous_classes, which_classes
from aeanomaly.data.table import Arrays as Arrays  # sources know it from here
from aeanomaly.data.table import ImageTable, Rows
from aeanomaly.errors import UserError
from aeanomaly.outputs import Batch, global_seed

log = logging.getLogger(__name__)


class OneClassDataModule(L.LightningDataModule):
    """Trains on normal images only, validates and tests on both kinds.

    A data source is a subclass with a `load` method. Training uses the normal images of the training split less a
    validation share; validation that share plus the anomalous images of the training split (for curves only); test and
    prediction the whole test split, or what ``test_on`` says.

    Args:
        normal_classes: classes that are normal, all others being anomalous, by number, or by name where the data source
            names them; a name such as 001 or no is given in quotes. Give this or ``anomaly_classes``.
        anomaly_classes: classes that are anomalous, all others being normal.
        val_fraction: share of the normal training images held out for validation, in (0, 1).
        contamination: share of unlabelled anomalies in the training images, in [0, 1).
        batch_size: images per training step over all devices together.
        eval_batch_size: images per evaluation step over all devices together.
        split_seed: seed of the split and of the training order; by default the run's ``seed_everything``.
        test_on: ``test``, or ``development``: a tenth of every class of the training split, which is then neither
            trained nor validated on, takes the place of the test split, so that hyperparameters can be chosen without
            a look at that.

    Attributes:
        chunk_size: batches in an item of the training loader; more than 1 makes it a chunk of batches.
        test_masks: (N, H, W) uint8, 1 where a test image is anomalous, by ``index``; None where the data have none.
        paths: of the file of each image by ``index``, for ``train``, ``val``, ``test``, and of those ``left_out``;
            empty where there are none.

    Raises:
        UserError: for values outside these ranges.
    """

    needs_anomalies = True  # whether data without an anomalous class are refused

    def __init__(
        self,
        normal_classes: Sequence[Class] | None = None,
        anomaly_classes: Sequence[Class] | None = None,
        val_fraction: float = 0.1,
        contamination: float = 0.0,
        batch_size: int = 64,
        eval_batch_size: int = 2048,
        split_seed: int | None = None,
        test_on: Literal["test", "development"] = "test",
    ) -> None:
        super().__init__()
        which_classes(normal_classes, anomaly_classes)
        if not 0 < val_fraction < 1:
            raise UserError(f"data.val_fraction must lie strictly between 0 and 1, got {val_fraction:g}")
        if not 0 <= contamination < 1:
            raise UserError(f"data.contamination must be at least 0 and below 1, got {contamination:g}")
        for name, size in (("batch_size", batch_size), ("eval_batch_size", eval_batch_size)):
            if size < 1:
                raise UserError(f"data.{name} must be at least 1, got {size}")
        if split_seed is not None and not -(2**63) <= split_seed < 2**64:  # as for any seed of torch
            raise UserError(f"data.split_seed must lie between -2**63 and 2**64 - 1, got {split_seed}")
        if test_on not in ("test", "development"):
            raise UserError(f"data.test_on must be test or development, got {test_on!r}")
        self.test_on = test_on
        self.normal_classes, self.anomaly_classes = normal_classes, anomaly_classes
        self.val_fraction, self.contamination = val_fraction, contamination
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.split_seed = split_seed if split_seed is not None else global_seed() or 0
        self.chunk_size = 1
        self.test_masks: Tensor | None = None
        self.paths: dict[str, Sequence[str]] = {}
        self._tables: dict[str, ImageTable] = {}
        self._tables_on_gpu: dict[tuple[str, torch.device], ImageTable] = {}
        self._arrays_on_gpu: dict[tuple[int, torch.device], Tensor] = {}

    def load(self) -> Arrays:
        """The whole labelled data set; called once per process, after `prepare_data`."""
        raise NotImplementedError(f"{type(self).__name__} must define load()")

    def will_read(self, array: str) -> Callable[[Tensor], None] | None:
        """What to tell the rows of the array ``train`` or ``test`` that are read next; None if nobody."""
        return None

    def exclude_line(self, path: str) -> str | None:
        """How a list for ``data.exclude`` names this training picture; None where there is no such option."""
        return None

    @property
    def source(self) -> str:
        """Where the images came from, for the records of the run."""
        return type(self).__name__

    def setup(self, stage: str | None = None) -> None:
        if self._tables:
            return
        arrays = checked(self.load(), self.source)
        labels, names = torch.cat([arrays.train_labels, arrays.test_labels]), arrays.class_names
        anomalous = anomalous_classes(labels, self.normal_classes, self.anomaly_classes, names, self.needs_anomalies)
        mask, development = torch.isin(arrays.train_labels, anomalous), self.test_on == "development"
        self.split, parts = divide(arrays, mask, self.val_fraction, self.contamination, self.split_seed, development)
        self._tables = {
            name: ImageTable(
                part.images, part.labels, torch.isin(part.labels, anomalous), part.rows, self.will_read(part.array)
            )
            for name, part in parts.items()
        }
        self.class_names: Sequence[str] | None = names
        self.test_masks = None if development else arrays.test_masks
        if arrays.paths is not None:
            self.paths = {name: Rows(arrays.paths[part.array], part.rows) for name, part in parts.items()}
            if arrays.left_out is not None:
                self.paths["left_out"] = Rows(arrays.paths["train"], arrays.left_out.nonzero().squeeze(1))
        if development and (self.trainer is None or self.trainer.is_global_zero):
            log.warning(
                "data.test_on is development: %d training images take the place of the test images. Their values are "
                "for choosing, not for reporting.",
                len(parts["test"].labels),
            )

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(C, H, W) of the images; only after `setup`."""
        return self._tables["train"].image_shape

    def sizes(self) -> dict[str, int]:
        """Number of images in each part; only after `setup`."""
        sizes = {"train_images": len(self._tables["train"])}
        for part in ("val", "test"):
            flags = self._tables[part].is_anomaly
            sizes[f"{part}_normal"], sizes[f"{part}_anomaly"] = int((~flags).sum()), int(flags.sum())
        return sizes

    def serve_chunks(self, most: int) -> int:
        """Have the next training loader give chunks of ``most`` batches, as far as that can be.

        Returns:
            Batches in a chunk: ``most``, or 1 where a hook of a subclass changes single batches, or where they have yet
            to be moved to the device, which is Lightning's task.
        """
        stock = {
            "on_before_batch_transfer": L.LightningDataModule,
            "on_after_batch_transfer": L.LightningDataModule,
            "transfer_batch_to_device": OneClassDataModule,
        }
        changed = any(getattr(type(self), hook) is not getattr(owner, hook) for hook, owner in stock.items())
        elsewhere = self._table_near("train").device.type != self._device.type
        self.chunk_size = 1 if changed or elsewhere else most
        return self.chunk_size

    @property
    def _device(self) -> torch.device:
        return self.trainer.strategy.root_device if self.trainer else torch.device("cpu")

    def _loader(self, part: str, batch_size: int, shuffle: bool = False, chunk_size: int = 1) -> IndexLoader:
        world_size, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        if batch_size < world_size:
            option = "batch_size" if part == "train" else "eval_batch_size"
            raise UserError(f"data.{option} {batch_size} is smaller than the number of devices, {world_size}")
        table, kind = self._table_near(part), IndexBatches if shuffle else BatchesInOrder
        batches = kind(len(table), batch_size, self.split_seed, world_size, rank, table.device)
        if isinstance(batches, BatchesInOrder) and part == "val":
            batches.border = len(self.split.val_normal)  # no bit of what thresholds are made of depends on anomalies
        return index_loader(table, batches, chunk_size)

    def _table_near(self, part: str) -> ImageTable:
        """The table of a part, on the GPU if that is where it is used and there is room for it."""
        table, device = self._tables[part], self._device
        if device.type != "cuda":
            return table
        if (part, device) not in self._tables_on_gpu:
            near = table.to(device, self._arrays_on_gpu)
            if near is None:
                return table
            self._tables_on_gpu[part, device] = near
        return self._tables_on_gpu[part, device]

    def train_dataloader(self) -> IndexLoader:
        """Training images, in an order that depends on seed and epoch only; with ``overfit_batches`` in a fixed one."""
        shuffle = not getattr(self.trainer, "overfit_batches", 0)
        return self._loader("train", self.batch_size, shuffle, self.chunk_size)

    def train_in_order_dataloader(self) -> IndexLoader:
        """Training images, each once and in order, for scores that are fitted on training outputs."""
        return self._loader("train", self.eval_batch_size)

    def val_dataloader(self) -> IndexLoader:
        """Held-out normal images, then the anomalous images of the training split, in batches of their own."""
        return self._loader("val", self.eval_batch_size)

    def test_dataloader(self) -> IndexLoader:
        """The whole test split, or the development images in its place."""
        return self._loader("test", self.eval_batch_size)

    def predict_dataloader(self) -> IndexLoader:
        return self.test_dataloader()

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Leave alone what is there already: Lightning would take each batch apart and put it together again."""
        if isinstance(batch, Batch) and batch.image.device == device:
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def state_dict(self) -> dict[str, Any]:
        """What decides who trains and who is held out; it rides in the checkpoint."""
        names = ("normal_classes", "anomaly_classes", "val_fraction", "contamination", "split_seed", "test_on")
        values = {name: getattr(self, name) for name in names}
        return {name: list(value) if isinstance(value, (list, tuple)) else value for name, value in values.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse a checkpoint that was trained on another split: held-out images would no longer be held out."""
        saved = {"test_on": "test", **state_dict}  # a checkpoint that does not name it is tested on the test split
        for key, here in self.state_dict().items():
            if key in saved and saved[key] != here:
                option = "seed_everything (or data.split_seed)" if key == "split_seed" else f"data.{key}"
                raise UserError(
                    f"{option} is {here} here but {saved[key]} in the checkpoint, so its training images would be "
                    "used for validation or test; use the checkpoint's value"
                )
