"""The last resort among MNIST's sources, with a small stand-in for the package that ships it."""

from __future__ import annotations

import gzip
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from aeanomaly.data.sources import mnist
from aeanomaly.data.sources.delivery import SourceError
from aeanomaly.data.sources.mnist import already_obtained, obtain
from aeanomaly.errors import UserError

PER_DIGIT = 105  # 500 in the real file


def failing(name: str) -> Callable[[], dict[str, bytes]]:
    def fetch() -> dict[str, bytes]:
        raise SourceError(f"no {name} today")

    return fetch


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Makes the subset the only source, and lists its downloads."""
    # The first pixel counts the images of a digit, to tell which of them end up where.
    rows = [",".join([str(number), *["0"] * 783, str(digit)]) for digit in range(10) for number in range(PER_DIGIT)]
    content = gzip.compress("\n".join(rows).encode(), compresslevel=1)
    done: list[str] = []
    (file_name,) = mnist.SUBSET_SHA256

    def fetch() -> dict[str, bytes]:
        done.append("subset")
        return {file_name: content}

    monkeypatch.setattr(mnist, "SUBSET_SHA256", {file_name: hashlib.sha256(content).hexdigest()})
    monkeypatch.setattr(mnist, "subset_from_pypi", fetch)
    for name in ("from_torchvision", "from_npm"):
        monkeypatch.setattr(mnist, name, failing(name))
    return done


def subset_file(data_dir: Path) -> Path:
    return next(path for path in data_dir.rglob("*") if path.is_file())


def test_the_subset_is_the_last_resort_and_says_so_in_a_box(
    downloads: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert obtain(tmp_path, "auto")[0] == "subset"
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    lines = warning.splitlines()
    assert lines[0] == lines[-1] == f"+{'-' * (len(lines[0]) - 2)}+"
    assert all(line[0] == line[-1] == "|" for line in lines[1:-1])
    assert "NOT the whole MNIST" in warning
    assert {len(line) for line in lines} == {len(lines[0])}  # a box with straight sides


def test_the_last_hundred_images_of_each_digit_are_the_test_split(downloads: list[str], tmp_path: Path) -> None:
    train_images, train_labels, test_images, test_labels = obtain(tmp_path, "subset")[1][:4]
    assert train_images.shape == (10 * (PER_DIGIT - 100), 1, 28, 28)
    assert test_images.shape == (1000, 1, 28, 28)
    assert train_images.dtype == torch.uint8
    assert train_labels.dtype == torch.int64
    for digit in range(10):
        assert train_images[train_labels == digit][:, 0, 0, 0].tolist() == list(range(PER_DIGIT - 100))
        assert test_images[test_labels == digit][:, 0, 0, 0].tolist() == list(range(PER_DIGIT - 100, PER_DIGIT))


def test_the_subset_is_downloaded_once_unless_damaged(downloads: list[str], tmp_path: Path) -> None:
    for _ in range(2):
        obtain(tmp_path, "subset")
    assert downloads == ["subset"]
    path = subset_file(tmp_path)
    intact = path.read_bytes()
    path.write_bytes(intact[:-1])
    obtain(tmp_path, "subset")
    assert downloads == ["subset", "subset"]
    assert path.read_bytes() == intact


def test_other_processes_find_the_subset_without_a_download(downloads: list[str], tmp_path: Path) -> None:
    obtain(tmp_path, "auto")
    downloads.clear()
    assert already_obtained(tmp_path, "auto")[0] == already_obtained(tmp_path, "subset")[0] == "subset"
    with pytest.raises(UserError, match="not prepared"):
        already_obtained(tmp_path, "npm")
    assert downloads == []


@pytest.mark.parametrize("what", ["vanished", "damaged"])
def test_a_subset_that_changed_since_is_refused(downloads: list[str], tmp_path: Path, what: str) -> None:
    obtain(tmp_path, "subset")
    path = subset_file(tmp_path)
    if what == "vanished":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError):
        already_obtained(tmp_path, "subset")
