"""Images and labels from files: both formats, in memory and mapped, and what is refused."""

from __future__ import annotations

import gzip
import json
import mmap
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from aeanomaly.commands.main import main
from aeanomaly.data.sources.array_files import MappedBytes, open_array
from aeanomaly.data.sources.arrays import ArrayFiles
from aeanomaly.errors import UserError
from aeanomaly.outputs import Batch
from tests.conftest import PLAIN

Files = dict[str, Path]
Array = np.ndarray[Any, Any]


def save_npy(path: Path, array: Array) -> None:
    with path.open("wb") as stream:
        np.save(stream, array)


def save_idx(path: Path, array: Array) -> None:
    sizes = np.array(array.shape, dtype=">u4").tobytes()
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes())


def arrays(image_shape: tuple[int, ...] = (8, 8)) -> dict[str, Array]:
    draw = np.random.default_rng(0)
    found: dict[str, Array] = {}
    for part, count in (("train", 2000), ("test", 300)):
        found[f"{part}_images"] = draw.integers(0, 256, (count, *image_shape), dtype=np.uint8)
        found[f"{part}_labels"] = draw.integers(0, 10, count)
    return found


def write(folder: Path, save: Callable[[Path, Array], None] = save_npy, **changed: Array) -> Files:
    """The four files, by option."""
    files = {}
    for option, array in (arrays() | changed).items():
        files[option] = folder / option
        save(files[option], array)
    return files


def source(files: Files, **options: Any) -> ArrayFiles:
    paths = {option: str(path) for option, path in files.items()}
    return ArrayFiles(**paths, anomaly_classes=[0], batch_size=64, eval_batch_size=128, split_seed=9, **options)


def batches(data: ArrayFiles) -> list[Batch]:
    data.setup()
    loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    return [batch for loader in loaders for batch in loader]


def same(one: list[Batch], other: list[Batch]) -> bool:
    pairs = [pair for batches in zip(one, other, strict=True) for pair in zip(*batches, strict=True)]
    return all(torch.equal(left, right) for left, right in pairs)


@pytest.mark.parametrize("save", [save_npy, save_idx])
@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (3, 5, 7)])
def test_mapped_and_in_memory_give_the_same_batches(
    tmp_path: Path, save: Callable[[Path, Array], None], shape: tuple[int, ...]
) -> None:
    content = arrays(shape)
    files = write(tmp_path, save, **content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mapped, in_memory = source(files), source(files, memory_map=False)
        assert same(batches(mapped), batches(in_memory))
    assert mapped.image_shape == (shape if len(shape) == 3 else (1, *shape))
    test = np.concatenate([batch.image.numpy() for batch in mapped.test_dataloader()])
    expected = content["test_images"].reshape(test.shape).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(test, expected)
    labels = torch.cat([batch.label for batch in mapped.test_dataloader()])
    assert labels.tolist() == content["test_labels"].tolist()


def test_chunks_of_batches_are_the_same_when_mapped(tmp_path: Path) -> None:
    files = write(tmp_path)
    found: list[list[Batch]] = []
    for memory_map, size in ((True, 5), (False, 5), (False, 1)):
        data = source(files, memory_map=memory_map)
        data.setup()
        assert data.serve_chunks(size) == size
        items: Any = list(data.train_dataloader())
        found.append(items if size == 1 else [batch for chunk in items for batch in chunk])
    assert same(found[0], found[1])
    assert same(found[1], found[2])


def test_the_images_stay_in_the_file_and_a_write_does_not_reach_it(tmp_path: Path) -> None:
    files = write(tmp_path)
    before = files["train_images"].read_bytes()
    loaded = source(files).load().train_images
    loaded.fill_(7)
    assert files["train_images"].read_bytes() == before
    # What the file holds is seen as long as it was not touched: nothing was copied.
    fresh = source(files).load().train_images
    with files["train_images"].open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(bytes([before[-1] ^ 255]))
    assert int(fresh[-1, -1, -1, -1]) == before[-1] ^ 255


def test_a_file_larger_than_memory_can_be_mapped(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    count = 2**32 - 1
    with path.open("wb") as stream:  # three terabytes, of which the disk holds the header
        stream.write(bytes([0, 0, 8, 3]) + np.array([count, 28, 28], dtype=">u4").tobytes())
        stream.truncate(16 + count * 28 * 28)
    images = MappedBytes(open_array(path))
    rows = torch.tensor([count - 1, 0, count // 2])
    images.will_read(rows)
    assert not images.tensor.index_select(0, rows).any()


@pytest.mark.parametrize("rows", [[], [0], [5, 4, 3, 700, 701], [1999, 0, 1999], list(range(2000))])
def test_announced_pages_hold_the_rows(tmp_path: Path, rows: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    files = write(tmp_path)
    array = open_array(files["train_images"])
    images = MappedBytes(array)
    if images._announcer is None:
        pytest.skip("this system takes no advice")
    announced: set[int] = set()
    monkeypatch.setattr(
        os, "posix_fadvise", lambda _, place, length, __: announced.update(range(place, place + length))
    )
    images.will_read(torch.tensor(rows, dtype=torch.int64))
    images._announcer.shutdown(wait=True)  # in a thread of its own, whose errors nobody would see
    size = images.tensor[0].numel()
    needed = {array.offset + row * size + byte for row in rows for byte in (0, size - 1)}
    assert needed <= announced
    assert len(announced) <= len(rows) * (size + 2 * mmap.PAGESIZE)


def refusal(files: Files, **options: Any) -> str:
    with pytest.raises(UserError) as raised:
        source(files, **options).setup()
    message = str(raised.value)
    assert "\n" not in message
    return message


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


def test_a_fit_gives_the_same_weights_mapped_and_in_memory(tmp_path: Path) -> None:
    files = write(tmp_path)
    weights = []
    for memory_map in ("true", "false"):
        root = tmp_path / memory_map
        words = ["fit", *PLAIN, "--trainer.max_epochs", "1", "--trainer.default_root_dir", str(root)]
        words += ["--data", "aeanomaly.data.sources.arrays.ArrayFiles", "--data.anomaly_classes", "[0]"]
        words += [word for option, path in files.items() for word in (f"--data.{option}", str(path))]
        assert main([*words, "--data.memory_map", memory_map]) == 0
        run = root / "lightning_logs" / "version_0"
        weights.append(torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"])
        assert json.loads((run / "metrics.json").read_text())["data_source"] == str(files["train_images"])
    # NaN stands where a threshold does not apply.
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=0, equal_nan=True)


class WritesInto(Callback):
    """Has another program write into a file during a fit."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        with self.path.open("r+b") as stream:
            stream.seek(-64, os.SEEK_END)
            stream.write(bytes(range(64)))


@pytest.mark.parametrize(("option", "mapped"), [("train_images", True), ("test_images", True), ("test_images", False)])
def test_images_that_are_changed_under_a_fit_leave_it_without_a_result(
    option: str, mapped: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Unless they were copied before."""
    files = write(tmp_path)
    words = ["fit", *PLAIN, "--data", "aeanomaly.data.sources.arrays.ArrayFiles"]
    words += [word for name, path in files.items() for word in (f"--data.{name}", str(path))]
    words += ["--data.anomaly_classes", "[0]", "--data.memory_map", str(mapped).lower(), "--trainer.max_epochs", "1"]
    callback = {"class_path": f"{__name__}.WritesInto", "init_args": {"path": str(files[option])}}
    words += ["--trainer.callbacks+", json.dumps(callback), "--trainer.default_root_dir", str(tmp_path)]
    assert main(words) == (2 if mapped else 0)
    run = tmp_path / "lightning_logs" / "version_0"
    assert (run / "test_scores.csv").exists() is not mapped
    if mapped:
        said = capfd.readouterr().err.strip().splitlines()[-1]
        assert said.startswith(f"aeanomaly: error: data.{option}: {files[option]} was changed while it was read from")
