"""Choosing on training images set aside: they are never trained or validated on, and nothing changes without them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from aeanomaly.commands.main import main
from aeanomaly.data.base import Arrays, OneClassDataModule
from aeanomaly.data.sources.arrays import ArrayFiles
from aeanomaly.data.sources.digits import Digits
from aeanomaly.data.splits import anomaly_mask, development_images, split_training_set
from aeanomaly.errors import UserError
from tests.conftest import DEBUG

TRAIN, TEST = 1003, 57


class Numbered(OneClassDataModule):
    """Images that tell which they are: two pixels hold the row in the training split; test images have 255 first."""

    def load(self) -> Arrays:
        rows = torch.arange(TRAIN)
        labels = torch.randint(0, 5, (TRAIN,), generator=torch.Generator().manual_seed(3))
        images = torch.stack([rows // 250, rows % 250], 1).to(torch.uint8).view(TRAIN, 1, 1, 2)
        return Arrays(images, labels, torch.full((TEST, 1, 1, 2), 255, dtype=torch.uint8), torch.arange(TEST) % 5)


def numbered(test_on: Any, **options: Any) -> Numbered:
    data = Numbered(**{"anomaly_classes": [1], "split_seed": 4, **options}, test_on=test_on, batch_size=50)
    data.setup()
    return data


def rows_in(batches: Any) -> list[int]:
    """Rows of the training split that the images of a loader really are, going by their pixels."""
    pixels = torch.cat([batch.image.view(-1, 2) for batch in batches])
    first, second = (pixels * 255).round().long().unbind(1)
    return (first * 250 + second).tolist()


@pytest.mark.parametrize("contamination", [0.0, 0.1])
@pytest.mark.parametrize("seed", [4, 5])
@pytest.mark.parametrize("classes", [{"anomaly_classes": [1]}, {"anomaly_classes": None, "normal_classes": [2]}])
def test_no_development_image_is_trained_or_validated_on(
    classes: dict[str, Any], seed: int, contamination: float
) -> None:
    data = numbered("development", split_seed=seed, contamination=contamination, **classes)
    train, in_order, val, test = (
        rows_in(loader)
        for loader in (
            data.train_dataloader(),
            data.train_in_order_dataloader(),
            data.val_dataloader(),
            data.test_dataloader(),
        )
    )
    assert sorted(train) == sorted(in_order)
    assert not set(test) & {*train, *val}
    assert sorted([*train, *val, *test]) == list(range(TRAIN))  # so neither is any image of the test split
    assert sorted(rows_in(data.predict_dataloader())) == sorted(test)


@pytest.mark.parametrize("classes", [{"anomaly_classes": [1]}, {"anomaly_classes": None, "normal_classes": [2]}])
def test_they_are_a_tenth_of_every_class_and_the_same_for_every_run(classes: dict[str, Any]) -> None:
    labels = numbered("test").load().train_labels
    batches = list(numbered("development", split_seed=99, **classes).test_dataloader())
    test = torch.tensor(rows_in(batches))
    for class_ in range(5):
        count = int((labels == class_).sum())
        assert int((labels[test] == class_).sum()) == round(0.1 * count)
    assert torch.equal(torch.cat([batch.label for batch in batches]), labels[test])
    anomalous = anomaly_mask(labels, classes.get("normal_classes"), classes["anomaly_classes"])
    assert torch.equal(torch.cat([batch.is_anomaly for batch in batches]), anomalous[test])
    assert 0 < int(anomalous[test].sum()) < len(test)
    assert test.tolist() == rows_in(numbered("development").test_dataloader())


def test_those_of_a_class_do_not_depend_on_the_others() -> None:
    labels = torch.randint(0, 4, (500,), generator=torch.Generator().manual_seed(0))
    fewer = labels[labels != 2]
    assert torch.equal(development_images(labels)[labels != 2], development_images(fewer))
    assert not torch.equal(development_images(labels)[:50], development_images(labels.roll(1))[:50])


def test_without_it_the_split_is_what_it_was() -> None:
    """The parts are those of `split_training_set` over the whole training split, and the test split as it is."""
    data = numbered("test", contamination=0.1)
    arrays = data.load()
    split = split_training_set(anomaly_mask(arrays.train_labels, None, [1]), 0.1, 0.1, 4)
    assert rows_in(data.train_in_order_dataloader()) == split.train.tolist()
    assert rows_in(data.val_dataloader()) == [*split.val_normal.tolist(), *split.val_anomaly.tolist()]
    tested = list(data.test_dataloader())
    assert torch.equal(torch.cat([batch.label for batch in tested]), arrays.test_labels)
    assert bool((torch.cat([batch.image for batch in tested]) == 1).all())
    default = Numbered(anomaly_classes=[1], split_seed=4, contamination=0.1, batch_size=50)
    default.setup()
    assert rows_in(default.train_dataloader()) == rows_in(data.train_dataloader())


def test_mapped_files_are_told_which_training_rows_are_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = numbered("test").load()
    paths = {name: str(tmp_path / f"{name}.npy") for name in arrays._fields[:4]}
    for name, tensor in zip(paths, arrays[:4], strict=True):
        np.save(paths[name], tensor.numpy())
    asked: list[str] = []
    will_read: Callable[[ArrayFiles, str], Any] = ArrayFiles.will_read

    def watched(self: ArrayFiles, part: str) -> Callable[[Tensor], None] | None:
        asked.append(part)
        result: Callable[[Tensor], None] | None = will_read(self, part)
        return result

    monkeypatch.setattr(ArrayFiles, "will_read", watched)
    data = ArrayFiles(**paths, anomaly_classes=[1], split_seed=4, test_on="development")
    data.setup()
    assert "test" not in asked
    assert rows_in(data.test_dataloader()) == rows_in(numbered("development").test_dataloader())


def test_a_checkpoint_trained_on_the_images_is_refused() -> None:
    trained, developing = numbered("test"), numbered("development")
    before = {key: value for key, value in trained.state_dict().items() if key != "test_on"}
    for state in (trained.state_dict(), before):  # a checkpoint from before the option is one of the first kind
        trained.load_state_dict(state)
        with pytest.raises(UserError, match=r"data\.test_on is development here but test in the checkpoint"):
            developing.load_state_dict(state)
    with pytest.raises(UserError, match=r"data\.test_on is test here but development in the checkpoint"):
        trained.load_state_dict(developing.state_dict())
    developing.load_state_dict(developing.state_dict())
    with pytest.raises(UserError, match=r"data\.test_on must be test or development, got 'val'"):
        numbered("val")


TENTH = sum(round(0.1 * count) for count in Digits(anomaly_classes=[0]).load().train_labels.bincount().tolist())


@pytest.fixture(scope="module")
def developed(fit: Callable[..., Path]) -> Path:
    return fit("--data.test_on", "development")


def test_the_record_of_a_run_says_so(developed: Path, run_dir: Path) -> None:
    record, other = (json.loads((run / "metrics.json").read_text()) for run in (developed, run_dir))
    assert (record["test_on"], other["test_on"]) == ("development", "test")
    tested = record["test_normal"] + record["test_anomaly"]
    assert sum(record[f"{part}"] for part in ("train_images", "val_normal", "val_anomaly")) + tested == 1437
    with (developed / "test_scores.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == tested == TENTH


def test_the_command_says_so_and_refuses_what_was_trained_on_them(
    developed: Path, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["test", "--config", DEBUG, "--data.test_on", "development", "--trainer.default_root_dir", str(tmp_path)]
    (mine,), (other,) = ([str(path) for path in (run / "checkpoints").glob("best*")] for run in (developed, run_dir))
    assert main([*words, "--ckpt_path", mine]) == 0
    shown = capsys.readouterr()
    assert f"{TENTH} training images take the place of the test images" in " ".join((shown.out + shown.err).split())
    assert main([*words, "--ckpt_path", other]) == 2
    assert "data.test_on is development here but test in the checkpoint" in capsys.readouterr().err


def test_compare_says_which_were_not_tested_on_the_test_split(
    developed: Path, run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    note = "test values of training images set aside to choose by, not of the test split: "
    assert main(["compare", str(developed), str(run_dir)]) == 0
    shown = capsys.readouterr().out
    assert "test_on" in shown
    (line,) = (line for line in shown.splitlines() if line.startswith(note))
    assert developed.parent.parent.name in line
    assert run_dir.parent.parent.name not in line
    assert main(["compare", str(developed)]) == 0
    assert f"{note}all runs" in capsys.readouterr().out
    assert main(["compare", str(run_dir)]) == 0
    assert note not in capsys.readouterr().out
