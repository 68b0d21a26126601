"""Images and labels from files: both formats, in memory and mapped."""

from __future__ import annotations

import json
import mmap
import os
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
from aeanomaly.outputs import Batch
from tests.conftest import PLAIN
from tests.data.sources.small_arrays import Array, arrays, batches, same, save_idx, save_npy, source, write


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
