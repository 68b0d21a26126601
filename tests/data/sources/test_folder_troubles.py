"""What is wrong with a folder of pictures is said in one line, with the file and what to do."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import lightning as L
import pytest

from aeanomaly.data import picture_lists
from aeanomaly.runs.environment import environment
from tests.data.picture_files import content, fill, fill_inspection, names, noise, put, source
from tests.data.sources.refused import refused

BROKEN = {"empty": b"", "text": b"a letter", "cut": content(noise(0, 99, 99), "JPEG")[:2000]}


def refusal(root: Path, **options: Any) -> str:
    return refused(lambda: source(root, **options))


@pytest.mark.parametrize("kind", BROKEN)
def test_a_picture_that_cannot_be_used_stops_or_is_left_out(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill_inspection(tmp_path)
    broken = [put(tmp_path, name, BROKEN[kind]) for name in ("train/good/005.png", "test/scratch/001.png")]
    message = refusal(tmp_path)
    assert str(broken[0]) in message
    assert "data.on_error skip" in message
    for _ in range(2):  # the second time it is known without a look
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            data = source(tmp_path, on_error="skip")
            data.setup()
        assert "2 of 27 pictures cannot be used and are left out" in caplog.text
        assert all(str(path) in caplog.text for path in broken)
        assert data.sizes()["train_images"] + data.sizes()["val_normal"] == 19
        assert names(data.paths["test"], tmp_path)[4:] == ["test/scratch/000.png", "test/scratch/002.png"]
        assert data.test_masks is not None
        assert data.test_masks.any(-1).any(-1).tolist() == [False] * 4 + [True] * 2
    assert "2 of 27" in refusal(tmp_path)  # also when another run left them out


def test_of_many_the_first_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path, good=20)
    for number in range(10, 15):
        put(tmp_path, f"good/{number:03}.png", b"")
    source(tmp_path, on_error="skip").setup()
    assert caplog.text.count("is empty") == 3
    assert "good/010.png" in caplog.text
    assert "and 2 more" in caplog.text


def test_all_that_are_skipped_are_listed_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also for a later run, which opens none of them, from another folder: by paths that are right there."""
    fill_inspection(tmp_path)
    for name in ("000.png", "001.png", "002.png", "two\nlines.png"):
        put(tmp_path, f"train/good/{name}", b"")
    put(tmp_path, "ground_truth/scratch/001_mask.png", content(noise(0, 8, 9)))
    for place in (tmp_path.parent, tmp_path):
        monkeypatch.chdir(place)
        caplog.clear()
        data = source(tmp_path.relative_to(place), on_error="skip")
        data.setup()
        folder = "" if place == tmp_path else f"{tmp_path.name}/"
        (where,) = re.findall(r"cannot be used and are left out: .*; and 2 more; all are listed in (\S+)", caplog.text)
        for number in range(3):
            assert re.search(rf"(: |; ){folder}train/good/00{number}.png is empty", caplog.text)
        assert where.startswith(f"{folder}.aeanomaly_cache/")
        mask = "ground_truth/scratch/001_mask.png, that is 9x8 pixels, but its picture 8x8"
        assert sorted(Path(where).read_text().splitlines()) == [
            '"train/good/two\\nlines.png"\tis empty',
            f"test/scratch/001.png\thas a mask, {mask}",
            *(f"train/good/00{number}.png\tis empty" for number in range(3)),
        ]
        trainer = L.Trainer(accelerator="cpu", devices=1, logger=False)
        trainer.datamodule = data  # as Lightning does
        assert environment(trainer)["skipped_pictures"] == 5


def test_pictures_of_unknown_endings_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In folders that name no class because of it, too; other files are passed over in silence."""
    fill(tmp_path, good=20)
    jpeg = content(noise(0), "JPEG")
    other = ("good/notes.txt", b"\xff\xd8"), ("good/.hidden", jpeg), ("ground_truth/x.jpe", jpeg)
    for name, data in (*other, ("good/1.jpe", jpeg), ("new/2", content(noise(1)))):
        put(tmp_path, name, data)
    for _ in range(2):
        caplog.clear()
        source(tmp_path).setup()
        first = tmp_path / "good/1.jpe"
        assert (
            f"2 files begin like a JPEG or PNG and are left out because of how they end, such as {first}" in caplog.text
        )
        assert len(caplog.records) == 1
    for path in (tmp_path / "good").glob("*.png"):
        path.rename(path.with_suffix(".photo"))
    assert "has no picture to train on; it has the classes ['good', 'new']; 22 files begin like" in refusal(tmp_path)


def test_unknown_endings_are_looked_into_when_pictures_are_read_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "before"
    fill(root, good=20)
    for name in ("good/1.jpe", "good/2.jpe"):
        put(root, name, content(noise(0), "JPEG"))
    source(root).setup()
    monkeypatch.setattr(picture_lists, "_begins_like_a_picture", lambda path: pytest.fail(f"{path} was opened"))
    moved = root.rename(tmp_path / "after")
    for left, first in ((2, "1.jpe"), (1, "2.jpe")):
        caplog.clear()
        source(moved).setup()
        assert f"{left} files begin like a JPEG or PNG" in caplog.text
        assert str(moved / "good" / first) in caplog.text
        (moved / "good" / first).unlink()
    caplog.clear()
    source(moved).setup()
    assert not caplog.text


def test_the_same_picture_in_training_and_test_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill_inspection(tmp_path)
    source(tmp_path).setup()
    assert not caplog.text
    put(tmp_path, "test/scratch/001.png", (tmp_path / "train/good/007.png").read_bytes())
    source(tmp_path).setup()
    assert "1 test pictures are among the training pictures too" in caplog.text
    assert "test/scratch/001.png is train/good/007.png" in caplog.text


def test_masks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    fill_inspection(tmp_path)
    mask = put(tmp_path, "ground_truth/scratch/001_mask.png", content(noise(0, 8, 9)))
    message = refusal(tmp_path)
    assert "test/scratch/001.png has a mask" in message
    assert f"{mask}, that is 9x8 pixels, but its picture 8x8" in message
    mask.unlink()
    assert "test/scratch/001.png is anomalous and has no mask" in refusal(tmp_path)
    (tmp_path / "test/spare").mkdir()
    (tmp_path / "test/scratch/001.png").rename(tmp_path / "test/spare/001.png")
    assert "test/spare/001.png is anomalous and has no mask" in refusal(tmp_path)
    source(tmp_path, normal_classes=["good", "spare"]).setup()


@pytest.mark.parametrize("place", ["hole/0_mask.png", "scratch/000/000.png", "scratch/000_mask.npy", "000.png"])
def test_masks_that_are_of_no_picture_are_reported(
    place: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill_inspection(tmp_path)
    for mask in (tmp_path / "ground_truth/scratch").iterdir():
        mask.unlink()
    mask = put(tmp_path, f"ground_truth/{place}", content(noise(0)))
    for _ in range(2):  # also when the pictures were read before
        caplog.clear()
        data = source(tmp_path)
        data.setup()
        assert data.test_masks is None
        (record,) = caplog.records
        assert f"no test picture has a mask, and {mask} is passed over" in record.message
        assert "is ground_truth/CLASS/NAME_mask.png or" in record.message
    mask.unlink()
    caplog.clear()
    source(tmp_path).setup()
    assert not caplog.text


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_a_folder_for_validation_is_named_where_there_is_none_for_the_test(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path, **{"train_good": 20, f"{name}_good": 3, f"{name}_bad": 3})
    source(tmp_path).setup()
    (record,) = caplog.records
    assert f"{tmp_path / name} is passed over, and some pictures of {tmp_path / 'train'} are tested" in record.message
    fill(tmp_path, test_good=3, test_bad=3)
    caplog.clear()
    source(tmp_path).setup()
    assert name not in caplog.text


def test_a_table_may_name_what_is_not_there(tmp_path: Path) -> None:
    fill(tmp_path, any=20)
    rows = [f"any/{number:03}.png,fine" for number in range(20)]
    table = put(tmp_path, "all.csv", "\n".join(["path,label", *rows, "any/gone.png,fine"]).encode())
    options = {"table": str(table), "normal_classes": ["fine"]}
    assert f"{tmp_path / 'any/gone.png'} cannot be read (No such file or directory)" in refusal(tmp_path, **options)
    data = source(tmp_path, on_error="skip", **options)
    data.setup()
    assert data.source == str(table)
    assert sum(data.sizes().values()) == 20


def test_an_empty_part_is_named(tmp_path: Path) -> None:
    put(tmp_path, "good/notes.txt", b"")
    assert "has no picture to train on; it has the classes ['good']" in refusal(tmp_path)
    fill(tmp_path, good=3)
    assert "has no picture to test on" in refusal(tmp_path)
    fill(tmp_path, good=5)
    put(tmp_path, "good/004.png", b"")  # the fifth, the only one that would be tested
    assert "no test picture can be used" in refusal(tmp_path, on_error="skip")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"size": 0}, "data.size must be at least 1, got 0"),
        ({"size": (8, -1)}, "data.size must be at least 1"),
        ({"fit": "pad"}, "data.fit must be resize or crop, got 'pad'"),
        ({"channels": 4}, "data.channels must be 1 or 3, got 4"),
        ({"on_error": "ask"}, "data.on_error must be stop or skip, got 'ask'"),
        ({"test_fraction": 1.0}, "data.test_fraction must lie strictly between 0 and 1"),
        ({"anomaly_classes": [0]}, "exactly one of data.normal_classes and data.anomaly_classes"),
        ({"folder": "nowhere"}, "there is no folder nowhere"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], reason: str, tmp_path: Path) -> None:
    fill(tmp_path, good=20)
    given = {"folder": str(tmp_path), **options}
    assert reason in refusal(Path(given.pop("folder")), **given)
