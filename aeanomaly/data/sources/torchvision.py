"""The labelled data sets that torchvision knows by name."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from aeanomaly.data.base import Arrays, OneClassDataModule
from aeanomaly.data.sources import fashion_debian
from aeanomaly.data.sources.delivery import SourceError, first_served, last_line, torchvision_download
from aeanomaly.errors import UserError

Dataset = Literal["FashionMNIST", "KMNIST", "EMNIST", "QMNIST", "USPS", "CIFAR10", "SVHN"]
EmnistSplit = Literal["byclass", "bymerge", "balanced", "letters", "digits", "mnist"]

log = logging.getLogger(__name__)


class _Layout(NamedTuple):
    axes: str  # of the `data` attribute that torchvision gives
    files: str  # under data_dir, for the user


_LAYOUTS = {
    "FashionMNIST": _Layout("NHW", "FashionMNIST/raw/*-ubyte"),
    "KMNIST": _Layout("NHW", "KMNIST/raw/*-ubyte"),
    "EMNIST": _Layout("NWH", "EMNIST/raw/emnist-*-ubyte"),  # its files hold the columns first
    "QMNIST": _Layout("NHW", "QMNIST/raw/qmnist-*"),
    "USPS": _Layout("NHW", "usps.bz2 and usps.t.bz2"),
    "CIFAR10": _Layout("NHWC", "cifar-10-batches-py/*"),
    "SVHN": _Layout("NCHW", "train_32x32.mat and test_32x32.mat"),
}
_PACKED = (".gz", ".zip")  # what was downloaded only to be unpacked


class TorchvisionData(OneClassDataModule):
    """A data set of torchvision by its name there, train and test, with the classes that torchvision gives.

    FashionMNIST (Xiao et al., 2017), KMNIST (Clanuwat et al., 2018), EMNIST (Cohen et al., 2017), QMNIST (Yadav and
    Bottou, 2019; 60,000 test images): 1x28x28 pixels. USPS (Hull, 1994): 1x16x16. CIFAR10 (Krizhevsky, 2009) and SVHN
    (Netzer et al., 2011, without its extra part): 3x32x32. Letters of EMNIST are classes 1 to 26, all others count
    from 0.

    torchvision downloads, and verifies what it downloads by MD5. The files come into ``data_dir`` by renaming once all
    of them are there and can be read, so an interrupted download is never taken for data. On each later use
    FashionMNIST is verified by SHA-256, USPS, CIFAR10 and SVHN by MD5; of KMNIST, EMNIST and QMNIST only the lengths
    are checked. FashionMNIST is also taken from Debian's package dataset-fashion-mnist: from its installed files, or,
    where torchvision's download cannot be reached, through apt-get.

    Args:
        dataset: which.
        data_dir: torchvision's root folder, in which the data set is, or will be.
        emnist_split: which of EMNIST's data sets; the others ignore it.
        download: false uses only files that are on this machine.
        options: those of `OneClassDataModule`.

    Raises:
        UserError: for an unknown data set or split.
    """

    def __init__(
        self,
        dataset: Dataset,
        data_dir: str = "data",
        emnist_split: EmnistSplit = "letters",
        download: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        for name, value, known in (("dataset", dataset, Dataset), ("emnist_split", emnist_split, EmnistSplit)):
            if value not in get_args(known):
                raise UserError(f"data.{name} must be one of {', '.join(get_args(known))}, got {value!r}")
        self.dataset, self.data_dir = dataset, Path(data_dir)
        self.emnist_split, self.download = emnist_split, download
        self._arrays: Arrays | None = None
        self._served_by = "disk"

    def prepare_data(self) -> None:
        """Obtain the files if need be; Lightning calls this on one process per machine.

        Raises:
            UserError: if no source has the data set; the message has each reason.
        """
        if self._arrays is not None:  # Lightning asks again before the test
            return
        advice = f"put torchvision's files of it, {_LAYOUTS[self.dataset].files}, unpacked, in {self.data_dir}"
        self._served_by, self._arrays = first_served(self.dataset, self._sources(), advice)
        log.info("%s: served by %s (%s)", self.dataset, self._served_by, self.data_dir)

    def load(self) -> Arrays:
        """The whole data set.

        Raises:
            UserError: in a process that did not prepare the data, if it is not there.
        """
        if self._arrays is None:
            try:
                self._arrays = self._on_disk()
            except SourceError as failure:
                raise UserError(f"{self.dataset} was not prepared: {failure}") from None
        return self._arrays

    @property
    def source(self) -> str:
        """Data set, EMNIST's split, and the source that served, such as ``EMNIST letters (torchvision)``."""
        split = f" {self.emnist_split}" if self.dataset == "EMNIST" else ""
        return f"{self.dataset}{split} ({self._served_by})"

    def _sources(self) -> dict[str, Callable[[], Arrays]]:
        """What may serve, in this order."""
        fills: dict[str, Callable[[Path], None]] = {}
        if self.dataset == "FashionMNIST":
            fills["debian"] = fashion_debian.unpack_installed
        if self.download:
            fills["torchvision"] = self._download_to
        if self.download and self.dataset == "FashionMNIST":
            fills["apt-get"] = fashion_debian.unpack_download
        return {"disk": self._on_disk, **{name: partial(self._staged, fill) for name, fill in fills.items()}}

    def _on_disk(self) -> Arrays:
        try:
            return self._read(self.data_dir)
        except SourceError:
            raise SourceError(f"{self.data_dir} has no intact {_LAYOUTS[self.dataset].files}") from None

    def _staged(self, fill: Callable[[Path], None]) -> Arrays:
        """Have a folder filled and read it; only then move its files to where they belong."""
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.data_dir, prefix=".download-") as name:
                fill(Path(name))
                arrays = self._read(Path(name))
                for path in list(Path(name).rglob("*")):
                    if path.is_file() and path.suffix not in _PACKED:
                        target = self.data_dir / path.relative_to(name)
                        target.parent.mkdir(parents=True, exist_ok=True)
                        path.replace(target)
                return arrays
        except OSError as error:
            raise UserError(f"cannot write into {self.data_dir}: {error.strerror or error}") from None

    def _parts(self, root: Path, download: bool) -> list[Any]:
        """torchvision's own data sets, train and test; raises whatever torchvision raises."""
        from torchvision import datasets

        known = getattr(datasets, self.dataset)
        parts: list[dict[str, Any]] = [{"train": True}, {"train": False}]
        if self.dataset == "SVHN":
            parts = [{"split": "train"}, {"split": "test"}]
        if self.dataset == "EMNIST":
            parts = [{**part, "split": self.emnist_split} for part in parts]
        if self.dataset == "USPS" and not download:  # of an existing file torchvision checks nothing
            for _, name, md5 in known.split_list.values():
                if not datasets.utils.check_integrity(root / name, md5):
                    raise SourceError(f"{root / name} is missing or damaged")
        return [known(str(root), download=download, **part) for part in parts]

    def _download_to(self, folder: Path) -> None:
        with torchvision_download():
            self._parts(folder, download=True)

    def _read(self, root: Path) -> Arrays:
        if self.dataset == "FashionMNIST":
            fashion_debian.verify(root)
        try:
            parts = self._parts(root, download=False)
        except Exception as error:  # whatever torchvision meets in a missing or damaged file
            raise SourceError(last_line(str(error))) from None
        train, test = (_tensors(part, _LAYOUTS[self.dataset].axes) for part in parts)
        return Arrays(*train, *test, class_names=getattr(parts[0], "classes", None))


def _tensors(part: Any, axes: str) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) uint8 and labels (N,) int64 of one of torchvision's data sets."""
    images = torch.as_tensor(part.data)
    if "C" not in axes:
        images, axes = images.unsqueeze(-1), f"{axes}C"
    labels = torch.as_tensor(np.asarray(part.targets if hasattr(part, "targets") else part.labels)).long()
    if labels.ndim == 2:  # QMNIST has the writer and more beside the class
        labels = labels[:, 0].contiguous()
    if len(images) != len(labels):
        raise SourceError(f"{len(images)} images have {len(labels)} labels")
    return images.permute([axes.index(axis) for axis in "NCHW"]).contiguous(), labels
