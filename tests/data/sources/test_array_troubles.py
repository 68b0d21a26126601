"""Files that hold no images or labels, other ones than they say, or too few, are refused by name."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.sources.refused import refused
from tests.data.sources.small_arrays import Array, Files, save_idx, save_npy, source, write


def refusal(files: Files, **options: Any) -> str:
    return refused(lambda: source(files, **options))


@pytest.mark.parametrize("memory_map", [True, False])
@pytest.mark.parametrize(
    ("option", "array", "reason"),
    [
        ("train_images", np.zeros((2000, 8, 8), np.float32), r"float32 from 0 to 0 \(numpy.rint\(255 \* images"),
        ("train_images", np.full((2000, 8, 8), np.nan, np.float32), "float32 with NaN among the pixels"),
        (
            "train_images",
            np.full((2000, 8, 8), 300.5),
            "float64 from 300.5 to 300.5; images must be uint8 from 0 to 255",
        ),
        ("test_images", np.full((300, 8, 8), 300, np.int16), "int16 from 300 to 300; images must be uint8"),
        ("train_images", np.full((2000, 8, 8), 7), r"int64 from 7 to 7 \(images.astype\(numpy.uint8\)"),
        ("train_images", np.zeros((2000, 8, 8), bool), "holds bool"),
        ("train_images", np.zeros((2000, 8, 8, 3), np.uint8), r"channels last.*moveaxis\(images, 3, 1\)"),
        ("train_images", np.zeros((2000, 8, 8, 1), np.uint8), "channels last"),
        ("train_images", np.zeros((2000, 64), np.uint8), r"\[2000, 64\]"),
        ("train_images", np.zeros((0, 8, 8), np.uint8), r"holds no images: its shape is \[0, 8, 8\]"),
        ("train_images", np.zeros((2000, 8, 0), np.uint8), r"holds no pixels: its shape is \[2000, 8, 0\]"),
        ("test_images", np.zeros((300, 8, 9), np.uint8), "alike"),
        ("train_images", np.asfortranarray(np.zeros((2000, 8, 8), np.uint8)), "Fortran"),
        ("train_images", np.zeros(3, dtype=object), "object"),
        ("train_labels", np.zeros(1999, np.int64), "1,999 labels for 2,000 images"),
        ("test_labels", np.zeros((300, 1), np.int64), r"\[300, 1\]"),
        ("test_labels", np.zeros(300, np.float64), "float64"),
        ("test_labels", np.arange(300) % 10 - 1, "the label -1, which often stands for unlabelled images"),
        ("train_labels", np.full(2000, 2**63, np.uint64), "the label 9223372036854775808"),
    ],
)
def test_unsuitable_arrays_are_refused(
    tmp_path: Path, option: str, array: Array, reason: str, memory_map: bool
) -> None:
    files = write(tmp_path, **{option: array})
    message = refusal(files, memory_map=memory_map)
    assert re.search(reason, message), message
    assert option in message


def damage(files: Files, option: str, change: Callable[[bytes], bytes]) -> None:
    files[option].write_bytes(change(files[option].read_bytes()))


@pytest.mark.parametrize("memory_map", [True, False])
@pytest.mark.parametrize("save", [save_npy, save_idx])
@pytest.mark.parametrize(
    "change", [lambda whole: whole[:-1], lambda whole: whole[:5], lambda whole: whole[:9], lambda whole: whole + b"x"]
)
def test_files_that_are_not_whole_are_refused(
    tmp_path: Path, save: Callable[[Path, Array], None], change: Callable[[bytes], bytes], memory_map: bool
) -> None:
    files = write(tmp_path, save)
    damage(files, "train_images", change)
    assert "damaged" in refusal(files, memory_map=memory_map)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (gzip.compress, "gzip"),
        (lambda whole: b"PK\3\4" + whole, "zip"),
        (lambda whole: b"", "neither"),
        (lambda whole: b"something else", "neither"),
        (lambda whole: b"\0\0\x0d\3" + whole[4:], "0x0d"),
    ],
)
def test_other_formats_are_refused_by_name(tmp_path: Path, change: Callable[[bytes], bytes], reason: str) -> None:
    files = write(tmp_path, save_idx)
    damage(files, "test_images", change)
    assert reason in refusal(files)


@pytest.mark.parametrize("option", ["train_images", "train_labels", "test_images", "test_labels"])
def test_a_missing_file_is_named(tmp_path: Path, option: str) -> None:
    files = write(tmp_path)
    files[option].unlink()
    assert str(files[option]) in refusal(files)
