"""Which codes and images go to the Projector, and when."""

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
from torch import Tensor

from aeanomaly.callbacks.projector import CodeProjector
from aeanomaly.errors import UserError
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.outputs import Batch, Evaluation
from aeanomaly.training.module import LitAutoencoder
from tests.projections import entries, evaluation, rows, tiles


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
    monkeypatch.setattr(CodeProjector, "writer", lambda self, trainer: writer)
    loader, state = SimpleNamespace(dataset=images), SimpleNamespace(fn="test")
    trainer: Any = SimpleNamespace(test_dataloaders=loader, strategy=None, state=state, sanity_checking=False)
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
