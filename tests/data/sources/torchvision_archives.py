"""Tiny data sets in the archives that torchvision downloads, served by file:// in place of the internet."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import urllib.request
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray
from torchvision import datasets
from torchvision.datasets import utils

from aeanomaly.data.sources import fashion_debian

TRAIN, TEST = 40, 20
SIDES = {"USPS": (1, 16), "CIFAR10": (3, 32), "SVHN": (3, 32)}


class Truth(NamedTuple):
    """What a data set must come out as."""

    images: dict[str, NDArray[np.uint8]]  # by part: (N, C, H, W), upright
    labels: dict[str, NDArray[np.int64]]


def truth_of(dataset: str) -> Truth:
    """Random images, no two alike, nothing symmetric; every class in both parts."""
    channels, side = SIDES.get(dataset, (1, 28))
    generator = np.random.default_rng(sum(map(ord, dataset)))
    sizes = {"train": TRAIN, "test": TEST}
    images = {part: generator.integers(0, 256, (n, channels, side, side), np.uint8) for part, n in sizes.items()}
    return Truth(images, {part: np.arange(n) % 10 for part, n in sizes.items()})


def idx(array: NDArray[np.generic]) -> bytes:
    """The format of MNIST's files: type, dimensions, sizes, then the values with the high byte first."""
    kind = {"uint8": 8, "int32": 12}[array.dtype.name]
    return (
        struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape)
        + array.astype(array.dtype.newbyteorder(">")).tobytes()
    )


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def idx_files(dataset: str, truth: Truth) -> dict[str, bytes]:
    """The four raw files of FashionMNIST or KMNIST, by name."""
    files = {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        files[f"{prefix}-images-idx3-ubyte"] = idx(truth.images[part][:, 0])
        files[f"{prefix}-labels-idx1-ubyte"] = idx(truth.labels[part].astype(np.uint8))
    return files


def publish(dataset: str, folder: Path, patch: pytest.MonkeyPatch) -> tuple[Truth, list[Path]]:
    """Write the archives and have torchvision believe that they are the published ones.

    Returns:
        What is in them, and the archives.
    """
    folder.mkdir(parents=True, exist_ok=True)
    patch.setattr(utils, "_urlretrieve", _fetch)
    truth = truth_of(dataset)
    return truth, globals()[f"_{dataset.lower()}"](truth, folder, patch)


def _fetch(url: str, filename: str, chunk_size: int = 0) -> None:
    """torchvision's own wants the length of the answer, which file:// does not tell."""
    with urllib.request.urlopen(url) as answer:
        Path(filename).write_bytes(answer.read())


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _fashionmnist(truth: Truth, folder: Path, patch: pytest.MonkeyPatch, dataset: str = "FashionMNIST") -> list[Path]:
    files = idx_files(dataset, truth)
    paths = [_write(folder / f"{name}.gz", gzip.compress(content)) for name, content in files.items()]
    patch.setattr(getattr(datasets, dataset), "mirrors", [f"{folder.as_uri()}/"])
    patch.setattr(getattr(datasets, dataset), "resources", [(path.name, md5(path)) for path in paths])
    if dataset == "FashionMNIST":
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        patch.setattr(fashion_debian, "SHA256", sums)
    return paths


def _kmnist(truth: Truth, folder: Path, patch: pytest.MonkeyPatch) -> list[Path]:
    return _fashionmnist(truth, folder, patch, "KMNIST")


def _emnist(truth: Truth, folder: Path, patch: pytest.MonkeyPatch) -> list[Path]:
    """Each image is stored column by column; letters count from 1."""
    path = folder / "gzip.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for part in ("train", "test"):
            columns = np.stack([image[0].T for image in truth.images[part]])
            for split, first in (("digits", 0), ("letters", 1)):
                name = f"gzip/emnist-{split}-{part}"
                archive.writestr(f"{name}-images-idx3-ubyte.gz", gzip.compress(idx(columns)))
                labels = (truth.labels[part] + first).astype(np.uint8)
                archive.writestr(f"{name}-labels-idx1-ubyte.gz", gzip.compress(idx(labels)))
    patch.setattr(datasets.EMNIST, "url", path.as_uri())
    patch.setattr(datasets.EMNIST, "md5", md5(path))
    return [path]


def _qmnist(truth: Truth, folder: Path, patch: pytest.MonkeyPatch) -> list[Path]:
    """A label is a row of eight numbers, the first of which is the class."""
    resources, paths = {}, []
    for part in ("train", "test"):
        rows = np.full((len(truth.labels[part]), 8), 70_000, np.int32)
        rows[:, 0] = truth.labels[part]
        images, labels = f"qmnist-{part}-images-idx3-ubyte.gz", f"qmnist-{part}-labels-idx2-int.gz"
        pair = [_write(folder / images, gzip.compress(idx(truth.images[part][:, 0])))]
        pair.append(_write(folder / labels, gzip.compress(idx(rows))))
        resources[part] = [(path.as_uri(), md5(path)) for path in pair]
        paths += pair
    patch.setattr(datasets.QMNIST, "resources", resources)
    return paths


def _usps(truth: Truth, folder: Path, patch: pytest.MonkeyPatch) -> list[Path]:
    """Lines of text in which classes count from 1 and pixels go from -1 to 1."""
    paths, parts = [], {}
    for part, name in (("train", "usps.bz2"), ("test", "usps.t.bz2")):
        lines = []
        for image, label in zip(truth.images[part], truth.labels[part], strict=True):
            values = (image.ravel() + 0.5) / 255 * 2 - 1  # in the middle of the step, whichever way it is rounded
            lines.append(f"{label + 1} " + " ".join(f"{place}:{value:.6f}" for place, value in enumerate(values, 1)))
        paths.append(_write(folder / name, bz2.compress(("\n".join(lines) + "\n").encode())))
        parts[part] = [paths[-1].as_uri(), name, md5(paths[-1])]
    patch.setattr(datasets.USPS, "split_list", parts)
    return paths


def _cifar10(truth: Truth, folder: Path, patch: pytest.MonkeyPatch) -> list[Path]:
    """Pickled batches in a tar file; a row is the red plane, the green and the blue one."""
    base, kind = "cifar-10-batches-py", datasets.CIFAR10
    contents: dict[str, object] = {"batches.meta": {"label_names": list("abcdefghij")}}
    for number in range(5):
        rows = slice(number * TRAIN // 5, (number + 1) * TRAIN // 5)
        batch = truth.images["train"][rows], truth.labels["train"][rows]
        contents[f"data_batch_{number + 1}"] = {"data": batch[0].reshape(len(batch[0]), -1), "labels": list(batch[1])}
    contents["test_batch"] = {"data": truth.images["test"].reshape(TEST, -1), "labels": list(truth.labels["test"])}
    path, sums = folder / kind.filename, {}
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            data = pickle.dumps(content)
            sums[name] = hashlib.md5(data).hexdigest()
            member = tarfile.TarInfo(f"{base}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    patch.setattr(kind, "url", path.as_uri())
    patch.setattr(kind, "tgz_md5", md5(path))
    patch.setattr(kind, "train_list", [[name, sums[name]] for name in sums if name.startswith("data_")])
    patch.setattr(kind, "test_list", [["test_batch", sums["test_batch"]]])
    patch.setattr(kind, "meta", {**kind.meta, "md5": sums["batches.meta"]})
    return [path]


def _svhn(truth: Truth, folder: Path, patch: pytest.MonkeyPatch) -> list[Path]:
    """Matlab's files: images along the last axis, the digit 0 as class 10."""
    paths, parts = [], {}
    for part in ("train", "test"):
        path = folder / f"{part}_32x32.mat"
        labels = np.where(truth.labels[part] == 0, 10, truth.labels[part])
        scipy.io.savemat(path, {"X": truth.images[part].transpose(2, 3, 1, 0), "y": labels[:, None].astype(np.uint8)})
        parts[part] = [path.as_uri(), path.name, md5(path)]
        paths.append(path)
    patch.setattr(datasets.SVHN, "split_list", parts)
    return paths
