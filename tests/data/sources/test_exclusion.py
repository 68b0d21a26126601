"""A list of pictures that are left out of training."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
import torch

from aeanomaly.data import picture_writer
from aeanomaly.data.exclusion import excluded, line_of
from aeanomaly.errors import UserError
from tests.data.picture_files import fill, fill_inspection, names, put, source


def listed(root: Path, text: str) -> str:
    return str(put(root, "exclude.txt", text.encode()))


def test_listed_pictures_take_no_part_and_the_others_stay_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fill_inspection(tmp_path)
    whole = source(tmp_path)
    whole.setup()
    trained, held_out = (names(whole.paths[part], tmp_path) for part in ("train", "val"))
    first, second, third = trained[3], trained[7], held_out[1]
    monkeypatch.chdir(tmp_path.parent)
    from_here = Path(tmp_path.name, second)
    text = f"\ufeff# not good\n\n {first}\r\n./{third}\n{from_here}\n{tmp_path / first}\n"
    read = picture_writer.read_picture
    opened: list[object] = []
    monkeypatch.setattr(picture_writer, "read_picture", lambda *given: opened.append(given) or read(*given))
    data = source(tmp_path, exclude=listed(tmp_path, text))
    with caplog.at_level(logging.INFO):
        data.setup()
    assert opened == []  # the cache is that of all pictures
    assert "Left out: 3 of 20 training pictures, by" in caplog.text
    assert names(data.paths["train"], tmp_path) == [path for path in trained if path not in (first, second)]
    assert names(data.paths["val"], tmp_path) == held_out[:1]
    assert sorted(names(data.paths["left_out"], tmp_path)) == sorted((first, second, third))
    assert names(data.paths["test"], tmp_path) == names(whole.paths["test"], tmp_path)
    images = torch.cat([batch.image for batch in data.train_in_order_dataloader()])
    every = torch.cat([batch.image for batch in whole.train_in_order_dataloader()])
    assert torch.equal(images, every[[row for row in range(len(every)) if row not in (3, 7)]])


def test_they_are_not_among_the_development_images_either(tmp_path: Path) -> None:
    fill(tmp_path, train_good=60, test_good=5)
    whole = source(tmp_path, test_on="development")
    whole.setup()
    tested = names(whole.paths["test"], tmp_path)
    data = source(tmp_path, test_on="development", exclude=listed(tmp_path, tested[2]))
    data.setup()
    assert names(data.paths["test"], tmp_path) == tested[:2] + tested[3:]
    assert data.sizes()["test_normal"] == len(tested) - 1
    assert names(data.paths["train"], tmp_path) == names(whole.paths["train"], tmp_path)


def test_a_list_that_names_no_training_picture_is_refused_by_name(tmp_path: Path) -> None:
    fill_inspection(tmp_path)
    for line, why in (
        ("train/good/099.png", "no picture of"),
        ("test/good/001.png", "a test picture, and those are not trained on"),
        ("test/scratch/001.png", "a test picture"),
        ("train/good", "no picture of"),
    ):
        with pytest.raises(UserError, match=f"line 3: {line} is {why}"):
            source(tmp_path, exclude=listed(tmp_path, f"# first\ntrain/good/001.png\n{line}\n")).setup()
    with pytest.raises(UserError, match=r"data\.exclude: cannot read nowhere\.txt: No such file"):
        source(tmp_path, exclude="nowhere.txt").setup()
    every = "\n".join(f"train/good/{number:03}.png" for number in range(20))
    with pytest.raises(UserError, match=r"data\.exclude: no image is left for training"):
        source(tmp_path, exclude=listed(tmp_path, every)).setup()


def test_a_picture_that_cannot_be_read_may_be_listed(tmp_path: Path) -> None:
    fill_inspection(tmp_path)
    put(tmp_path, "train/good/005.png", b"")
    data = source(tmp_path, on_error="skip", exclude=listed(tmp_path, "train/good/005.png\ntrain/good/006.png"))
    data.setup()
    assert names(data.paths["left_out"], tmp_path) == ["train/good/006.png"]


def test_a_table_s_paths_are_told_apart_however_they_are_written(tmp_path: Path) -> None:
    fill(tmp_path / "pictures", any=30)
    rows = [f"any/../any/{number:03}.png,fine" for number in range(29)]
    rows.append(f"{tmp_path / 'pictures/any/029.png'},fine")
    table = put(tmp_path, "all.csv", "\n".join(["path,label", *rows]).encode())
    options = {"table": str(table), "normal_classes": ["fine"], "test_fraction": 0.1}
    text = f"any/000.png\n{os.path.relpath(tmp_path / 'pictures/any/028.png')}\n"
    data = source(tmp_path / "pictures", exclude=listed(tmp_path, text), **options)
    data.setup()
    assert len(data.paths["left_out"]) == 2


@pytest.mark.parametrize("name", ["#1.png", " 1.png", '"1".png', '"1', "a\nb.png", "\udcff.png", "1\\.png", "ü, 1.png"])
def test_the_line_of_a_picture_names_it_and_no_other(name: str, tmp_path: Path) -> None:
    paths = [str(tmp_path / "good" / "1.png"), str(tmp_path / name), "/elsewhere/1.png"]
    for row, path in enumerate(paths):
        line = line_of(path, tmp_path)
        assert line.isprintable()
        assert not line.startswith(str(tmp_path))  # so that the folder may move
        left_out = excluded(Path(listed(tmp_path, f"{line}\n")), tmp_path, paths, [])
        assert left_out.tolist() == [number == row for number in range(3)]


def test_what_is_no_path_in_quotes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r'exclude\.txt, line 2: "C:\\x" is no string of JSON, as a path in quotes must'
    ):
        excluded(Path(listed(tmp_path, '"1.png"\n"C:\\x"\n')), tmp_path, [str(tmp_path / "1.png")], [])


def test_paths_in_the_folder_are_found_from_wherever_the_program_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_inspection(tmp_path / "pictures")
    file = listed(tmp_path, "train/good/003.png\npictures/train/good/004.png\n")
    monkeypatch.chdir(tmp_path)
    data = source(Path("pictures"), exclude=file)
    data.setup()
    assert [data.exclude_line(path) for path in data.paths["left_out"]] == ["train/good/003.png", "train/good/004.png"]
