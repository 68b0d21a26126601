"""What the Projector gets: codes, labels, thumbnails, and one configuration for all of them."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from PIL import Image
from tensorboard.plugins.projector.projector_config_pb2 import EmbeddingInfo, ProjectorConfig
from torch import Tensor

from aeanomaly.callbacks.projector import CodeProjector, columns, thumbnails
from aeanomaly.errors import UserError
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.outputs import Batch, Evaluation
from aeanomaly.runs.projector import write_projection
from aeanomaly.training.module import LitAutoencoder


def entries(folder: Path) -> list[EmbeddingInfo]:
    config = text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig())
    return list(config.embeddings)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def tiles(path: Path, entry: EmbeddingInfo) -> np.ndarray:
    """A sprite as (rows * columns, h, w, 3), cut the way the Projector does."""
    picture = np.asarray(Image.open(path))
    width, height = entry.sprite.single_image_dim
    down, across = picture.shape[0] // height, picture.shape[1] // width
    assert picture.shape == (down * height, across * width, 3)
    assert down == across
    return picture.reshape(down, height, across, width, 3).swapaxes(1, 2).reshape(-1, height, width, 3)


def points(count: int, channels: int = 1, height: int = 6, width: int = 4) -> tuple[Tensor, dict[str, Any], Tensor]:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (count, channels, height, width), generator=generator, dtype=torch.uint8)
    return (
        torch.randn(count, 3, generator=generator),
        {"class": list(range(count)), "kind": ["normal"] * count},
        pictures,
    )


def test_a_run_leaves_the_codes_of_its_test_images(run_dir: Path) -> None:
    (entry,) = entries(run_dir)
    assert (entry.tensor_name, list(entry.tensor_shape)) == ("test", [360, 5])
    with (run_dir / "test_scores.csv").open() as stream:
        truth = list(csv.DictReader(stream))
    shown = rows(run_dir / entry.metadata_path)
    assert list(shown[0]) == ["class", "kind", "index", "reconstruction", "kmeans"]
    for one, other in zip(shown, truth, strict=True):
        assert (one["index"], one["class"]) == (other["index"], other["class"])
        assert one["kind"] == ("anomaly" if other["is_anomaly"] == "1" else "normal")
        assert float(one["kmeans"]) == pytest.approx(float(other["kmeans"]), rel=1e-3)
    pictures = tiles(run_dir / entry.sprite.image_path, entry)
    assert pictures.shape == (19 * 19, 8, 8, 3)
    assert not pictures[360:].any()


def test_codes_and_thumbnails_are_those_of_the_images_named(run_dir: Path) -> None:
    from aeanomaly.data.sources.digits import Digits

    (entry,) = entries(run_dir)
    digits = Digits(anomaly_classes=[0]).load()
    pictures = tiles(run_dir / entry.sprite.image_path, entry)[:360]
    np.testing.assert_array_equal(pictures[..., 0], digits.test_images[:, 0])
    module = LitAutoencoder.load_from_checkpoint(
        next((run_dir / "checkpoints").glob("best-*.ckpt")), map_location="cpu"
    )
    with torch.no_grad():
        code = module.net.encode(digits.test_images / 255)
    np.testing.assert_allclose(np.loadtxt(run_dir / entry.tensor_path), code, rtol=1e-4, atol=1e-4)


def test_validation_codes_every_other_epoch_of_few_images(fit: Callable[..., Path]) -> None:
    few = (
        '{"class_path": "aeanomaly.callbacks.projector.CodeProjector", "init_args": {"images": 7, "every_n_epochs": 2}}'
    )
    run = fit("--trainer.max_epochs", "5", "--trainer.callbacks+", few)
    # debug.yaml's own writes "test" too: the later one, of 7 images, replaces it.
    assert [(entry.tensor_name, list(entry.tensor_shape)) for entry in entries(run)] == [
        ("test", [7, 5]),
        ("val_epoch_4", [7, 5]),
        ("val_epoch_2", [7, 5]),
    ]
    assert [row["index"] for row in rows(run / "projector" / "test" / "metadata.tsv")] == [
        "0", "60", "120", "180", "239", "299", "359",
    ]  # fmt: skip
    kinds = {row["kind"] for row in rows(run / "projector" / "val_epoch_2" / "metadata.tsv")}
    assert kinds == {"normal", "anomaly"}
    assert len(list(run.glob("events.out.tfevents.*"))) == 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 4, 10])
def test_the_sprite_is_square_and_holds_every_thumbnail_in_order(tmp_path: Path, count: int, channels: int) -> None:
    code, table, pictures = points(count, channels)
    write_projection(tmp_path, "test", code, table, pictures)
    (entry,) = entries(tmp_path)
    assert list(entry.sprite.single_image_dim) == [4, 6]
    found = tiles(tmp_path / entry.sprite.image_path, entry)
    assert len(found) == math.ceil(math.sqrt(count)) ** 2
    np.testing.assert_array_equal(found[:count], pictures.expand(-1, 3, -1, -1).permute(0, 2, 3, 1))
    assert not found[count:].any()


def test_a_set_of_the_same_name_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    write_projection(tmp_path, "test", *points(4))
    write_projection(tmp_path, "val_epoch_5", *points(3))
    code, table, _ = points(9)
    write_projection(tmp_path, "test", code, table)
    assert [entry.tensor_name for entry in entries(tmp_path)] == ["test", "val_epoch_5"]
    first, second = entries(tmp_path)
    assert list(first.tensor_shape) == [9, 3]
    assert not first.sprite.image_path
    assert len(rows(tmp_path / first.metadata_path)) == 9
    assert second.sprite.image_path == "projector/val_epoch_5/sprite.png"


@pytest.mark.parametrize("size", [1, 2])
def test_a_code_too_small_for_the_projector_gets_zeros(tmp_path: Path, size: int) -> None:
    code, table, _ = points(9)
    write_projection(tmp_path, "test", code[:, :size], table)
    (entry,) = entries(tmp_path)
    assert list(entry.tensor_shape) == [9, 3]
    written = np.loadtxt(tmp_path / entry.tensor_path)
    np.testing.assert_allclose(written[:, :size], code[:, :size], rtol=1e-5)
    assert not written[:, size:].any()


def test_thumbnails_are_shrunk_to_the_longest_side() -> None:
    images = torch.full((2, 3, 90, 60), 0.5)
    assert thumbnails(images, 30).shape == (2, 3, 30, 20)
    assert thumbnails(images, 30).unique().tolist() == [128]
    assert thumbnails(images[:0], 30).shape[:2] == (0, 3)
    assert thumbnails(torch.ones(1, 1, 500, 2), 30).shape == (1, 1, 30, 1)
    kept = thumbnails(torch.tensor([-1.0, math.nan, 0.0, 2.0]).reshape(1, 1, 2, 2), 30)
    assert kept.flatten().tolist() == [0, 0, 0, 255]


def evaluation(count: int) -> Evaluation:
    return Evaluation(
        scores={"reconstruction": torch.arange(count).float()},
        thresholds={"reconstruction": {}},
        code=torch.randn(count, 2, generator=torch.Generator().manual_seed(0)),
        label=torch.arange(count) % 10,
        is_anomaly=torch.arange(count) % 10 == 0,
        index=torch.arange(count),
    )


def test_columns_are_those_of_the_chosen_rows() -> None:
    assert columns(evaluation(30), torch.tensor([0, 21])) == {
        "class": [0, 1],
        "kind": ["anomaly", "normal"],
        "index": [0, 21],
        "reconstruction": ["0", "21"],
    }


class Stub(LitAutoencoder):
    """A module that has just evaluated images with given codes."""

    def __init__(self, given: Evaluation) -> None:
        super().__init__(DenseAutoencoder([1, 8, 8], [4], 2))
        self.given = given

    def evaluation(self) -> Evaluation:
        return self.given


def show(folder: Path, given: Evaluation, images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """One test epoch of a callback, in batches of four."""
    writer = SimpleNamespace(get_logdir=lambda: str(folder))
    monkeypatch.setattr("aeanomaly.callbacks.projector.summary_writer", lambda trainer: writer)
    trainer: Any = SimpleNamespace(test_dataloaders=SimpleNamespace(dataset=images), strategy=None)
    module, callback = Stub(given), CodeProjector(images=5)
    for at in range(0, len(images), 4):
        part = slice(at, at + 4)
        batch = Batch(images[part], given.label[part], given.is_anomaly[part], given.index[part])
        callback.on_test_batch_end(trainer, module, None, batch, 0)  # type: ignore[arg-type]
    callback.on_test_epoch_end(trainer, module)


def test_images_that_are_neither_grey_nor_rgb_are_dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, shape in (("five channels", (10, 5, 8, 8)), ("vectors", (10, 64))):
        folder = tmp_path / name
        show(folder, evaluation(10), torch.rand(shape), monkeypatch)
        (entry,) = entries(folder)
        assert not entry.sprite.image_path
        assert len(rows(folder / entry.metadata_path)) == 5


def test_codes_that_are_not_finite_are_left_out_with_their_thumbnails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = evaluation(5)
    given.code[1, 0], given.code[3, 1] = math.nan, math.inf
    show(tmp_path, given, torch.arange(5).reshape(5, 1, 1, 1).expand(5, 3, 8, 8) / 255, monkeypatch)
    (entry,) = entries(tmp_path)
    assert [row["index"] for row in rows(tmp_path / entry.metadata_path)] == ["0", "2", "4"]
    assert tiles(tmp_path / entry.sprite.image_path, entry)[:3, 0, 0, 0].tolist() == [0, 2, 4]
    nothing = tmp_path / "nothing"
    given.code[:] = math.nan
    show(nothing, given, torch.rand(5, 1, 8, 8), monkeypatch)
    assert not nothing.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": 0}, "images must be at least 1, got 0"),
        ({"every_n_epochs": 0}, "every_n_epochs must be at least 1, got 0"),
        ({"thumbnail_size": -3}, "thumbnail_size must be at least 1, got -3"),
        ({"images": 10_000, "thumbnail_size": 100}, "at most 8192; lower one"),
    ],
)
def test_senseless_options_are_users_mistakes(options: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        CodeProjector(**options)
