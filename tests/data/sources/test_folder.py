"""Pictures of the user's own, from the files to a finished run."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aeanomaly.commands.main import main
from aeanomaly.data import picture_writer
from aeanomaly.data.sources.folder import PictureFolder
from aeanomaly.errors import UserError
from tests.conftest import DEBUG, REPOSITORY
from tests.data.picture_files import content, fill, fill_inspection, names, noise, put, source

FRAGMENT = str(REPOSITORY / "configs" / "data" / "folder.yaml")


def test_images_labels_masks_and_paths_belong_together(tmp_path: Path) -> None:
    fill_inspection(tmp_path)
    data = source(tmp_path)
    data.setup()
    assert data.sizes() == {
        **{"train_images": 18, "val_normal": 2, "val_anomaly": 0, "test_normal": 4, "test_anomaly": 3},
    }
    assert data.image_shape == (3, 8, 8)
    loaders = {"train": data.train_in_order_dataloader(), "val": data.val_dataloader(), "test": data.test_dataloader()}
    for part, loader in loaders.items():
        batches = list(loader)
        images = torch.cat([batch.image for batch in batches])
        assert len(images) == len(data.paths[part])
        for image, path in zip(images, data.paths[part], strict=True):
            shown = np.asarray(Image.open(path)).transpose(2, 0, 1)
            np.testing.assert_array_equal((image * 255).round().numpy(), shown)
    tested = names(data.paths["test"], tmp_path)
    assert tested == [f"test/good/00{i}.png" for i in range(4)] + [f"test/scratch/00{i}.png" for i in range(3)]
    assert torch.cat([batch.is_anomaly for batch in data.test_dataloader()]).tolist() == [False] * 4 + [True] * 3
    held_out = names(data.paths["train"], tmp_path) + names(data.paths["val"], tmp_path)
    assert sorted(held_out) == [f"train/good/{i:03}.png" for i in range(20)]
    assert data.test_masks is not None
    half = torch.tensor([[1] * 4 + [0] * 4]).expand(8, 8)
    assert all(torch.equal(mask, half) for mask in data.test_masks[4:])
    assert not data.test_masks[:4].any()
    other = source(tmp_path, test_on="development")
    other.setup()
    assert other.test_masks is None
    assert set(names(other.paths["test"], tmp_path)) < {f"train/good/{i:03}.png" for i in range(20)}


def test_without_masks_there_are_none_and_grey_is_one_channel(tmp_path: Path) -> None:
    fill(tmp_path, ok=20, odd=2)
    data = source(tmp_path, normal_classes=["ok"], channels=1, size=(6, 4))
    data.setup()
    assert (data.image_shape, data.test_masks) == ((1, 6, 4), None)
    assert data.sizes()["test_anomaly"] == 2


def test_a_path_and_numbers_of_numpy_are_taken(tmp_path: Path) -> None:
    """As the same text and numbers are: what was read is not read again."""
    fill(tmp_path, good=20)
    for size in (8, np.int64(8), (np.int64(8), 8)):
        data = PictureFolder(tmp_path, size=size)
        data.setup()
        assert data.image_shape == (3, 8, 8)
        assert len(list((tmp_path / ".aeanomaly_cache").glob("*/report.json"))) == 1


def test_classes_are_named_or_numbered(tmp_path: Path) -> None:
    fill(tmp_path, **{"10": 12, "2": 12})
    for chosen in ({"normal_classes": ["2"]}, {"normal_classes": [2]}, {"normal_classes": [1]}):
        data = source(tmp_path, **chosen)  # 1 is no name, so it is the second of "10" and "2"
        data.setup()
        assert {Path(path).parent.name for path in data.paths["train"]} == {"2"}
    data = source(tmp_path, normal_classes=None, anomaly_classes=["2"])
    data.setup()
    assert {Path(path).parent.name for path in data.paths["train"]} == {"10"}
    with pytest.raises(UserError, match=r"data.normal_classes names class 'good', .*there are: 10, 2"):
        source(tmp_path).setup()


def test_the_second_start_opens_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, good=20)
    first = source(tmp_path)
    first.setup()
    read = picture_writer.read_picture
    opened = []
    monkeypatch.setattr(picture_writer, "read_picture", lambda *given: opened.append(given) or read(*given))
    again = source(tmp_path)
    again.setup()
    assert opened == []
    for one, other in zip(first.train_dataloader(), again.train_dataloader(), strict=True):
        assert torch.equal(one.image, other.image)
    source(tmp_path, fit="crop").setup()
    assert len(opened) == 20
    put(tmp_path, "good/003.png", content(noise(99)))
    os.utime(tmp_path / "good/003.png", ns=(0, 1))
    changed = source(tmp_path)
    changed.setup()
    assert len(opened) == 40
    row = names(changed._arrays.paths["train"], tmp_path).index("good/003.png")  # type: ignore[union-attr, index]
    expected = np.asarray(noise(99)).transpose(2, 0, 1)
    np.testing.assert_array_equal(changed.load().train_images[row].numpy(), expected)


def fit(root: Path, *words: str) -> Path:
    given = ["--data.folder", str(root), "--data.size", "8", "--trainer.default_root_dir", str(root / "runs")]
    assert main(["fit", *words, *given, "--trainer.accelerator", "cpu"]) == 0
    return max((root / "runs" / "lightning_logs").iterdir())


def test_a_fit_names_the_folder_and_ranks_what_is_odd(tmp_path: Path) -> None:
    """Bright pictures are normal, dark ones are not; base.yaml's net takes their shape from them."""
    for part, count in (("train/good", 80), ("test/good", 5), ("test/dark", 5)):
        for index in range(count):
            level = (200 if "good" in part else 40) + index // 2
            put(tmp_path, f"{part}/{index}.jpg", content(Image.new("RGB", (30, 20), (level, level, index)), "JPEG"))
    words = ["--config", DEBUG, "--config", FRAGMENT]
    run = fit(tmp_path, *words, "--trainer.max_epochs", "4", "--data.val_fraction", "0.5")
    record = json.loads((run / "metrics.json").read_text())
    assert (record["data"], record["data_source"]) == ("PictureFolder", str(tmp_path))
    assert (record["test_normal"], record["test_anomaly"]) == (5, 5)
    assert record["test/auroc/reconstruction"] == 1.0
    with (run / "test_scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    files = [str(Path(part, f"{index}.jpg")) for part in ("test/good", "test/dark") for index in range(5)]
    assert sorted(row["path"] for row in rows) == sorted(str(tmp_path / file) for file in files)
    assert all((row["is_anomaly"] == "1") is ("dark" in row["path"]) for row in rows)


def test_best_yaml_trains_on_good_pictures_alone(tmp_path: Path) -> None:
    """Before there is anything to test with: no AUROC, but scores and a threshold."""
    fill(tmp_path, good=60)
    words = ["--config", str(REPOSITORY / "configs" / "best.yaml"), "--config", FRAGMENT, "--data.val_fraction", "0.5"]
    run = fit(tmp_path, *words, "--trainer.max_steps", "2", "--trainer.val_check_interval", "2")
    record = json.loads((run / "metrics.json").read_text())
    assert (record["train_images"], record["test_normal"], record["test_anomaly"]) == (24, 12, 0)
    assert not [name for name in record if "auroc" in name]
    assert "threshold/fusion@alarm5" in record
    with (run / "test_scores.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 12
