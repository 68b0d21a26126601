"""Which files are found, of which class and part."""

from __future__ import annotations

from pathlib import Path

import pytest

from aeanomaly.data.picture_lists import FolderList, TableList, assigned
from aeanomaly.errors import UserError
from aeanomaly.runs.finding import LOGS
from aeanomaly.runs.reading import CONFIG, METRICS
from tests.data.picture_files import fill, fill_inspection, put


def found(root: Path, normal: str = "good", fraction: float = 0.2) -> dict[str, list[str]]:
    """Paths by class and part."""
    listed, paths = FolderList(root), {}
    for picture in assigned(listed, {listed.classes.index(normal)}, fraction):
        paths.setdefault(f"{picture.part} {listed.classes[picture.label]}", []).append(picture.path)
    return paths


def test_train_and_test_with_masks(tmp_path: Path) -> None:
    fill_inspection(tmp_path)
    put(tmp_path, "train/good/deeper/last.JPG", b"")
    for name in ("train/good/notes.txt", "train/good/.hidden.png", "train/.cache/x.png", "stray.png"):
        put(tmp_path, name, b"")
    (tmp_path / "ground_truth/scratch/001_mask.png").rename(tmp_path / "ground_truth/scratch/001.png")
    (tmp_path / "ground_truth/scratch/002_mask.png").unlink()
    listed = list(FolderList(tmp_path))
    assert FolderList(tmp_path).classes == ["good", "scratch"]
    good = [f"train/good/{number:03}.png" for number in range(20)]
    assert [p.path for p in listed if p.part == "train"] == [*good, "train/good/deeper/last.JPG"]
    assert {p.label for p in listed if p.part == "train"} == {0}
    tested = [(p.path, p.label, p.mask) for p in listed if p.part == "test"]
    assert tested[:4] == [(f"test/good/{number:03}.png", 0, None) for number in range(4)]
    assert tested[4:] == [
        ("test/scratch/000.png", 1, "ground_truth/scratch/000_mask.png"),
        ("test/scratch/001.png", 1, "ground_truth/scratch/001.png"),
        ("test/scratch/002.png", 1, None),
    ]


@pytest.mark.parametrize("name", ["001_mask.bmp", "001_mask.PNG", "001.jpg", "001.tif"])
def test_a_mask_may_have_any_picture_ending(name: str, tmp_path: Path) -> None:
    fill_inspection(tmp_path)
    masks = tmp_path / "ground_truth/scratch"
    (masks / "001_mask.png").rename(masks / name)
    put(tmp_path, "test/scratch/deeper/9.jpg", b"")
    put(masks, "deeper/9_mask.tiff", b"")
    for other in ("000.png", "000_mask.jpg", "002_mask.txt"):
        put(masks, other, b"")
    found = [picture.mask for picture in FolderList(tmp_path) if picture.mask]
    assert found == [f"ground_truth/scratch/{n}" for n in ("000_mask.png", name, "002_mask.png", "deeper/9_mask.tiff")]


def test_folders_of_classes_alone(tmp_path: Path) -> None:
    """All anomalous ones and every fifth normal one are tested; those of other classes move none."""
    fill(tmp_path, good=10, bad=3)
    before = found(tmp_path)
    assert before["test good"] == ["good/004.png", "good/009.png"]
    assert len(before["train good"]) == 8
    assert before["test bad"] == ["bad/000.png", "bad/001.png", "bad/002.png"]
    fill(tmp_path, also=5)
    assert {key: paths for key, paths in found(tmp_path).items() if "also" not in key} == before


@pytest.mark.parametrize("below", ["", "test/"])
def test_figures_of_runs_are_no_pictures(below: str, tmp_path: Path) -> None:
    """A run beside the pictures, wherever it was copied to, and folders without a picture name no class."""
    fill(tmp_path, good=10, new=2, test_good=1, test_new=2)
    before = found(tmp_path)
    runs = (f"{LOGS}/version_0", f"elsewhere/{LOGS}/version_0", "copied", "new/copied")
    for name in (f"{below}{run}/{file}" for run in runs for file in (METRICS, CONFIG, "figures/density.png")):
        put(tmp_path, name, b"")
    put(tmp_path, f"{below}good/{CONFIG}", b"of a camera")
    put(tmp_path, f"{below}notes/read.txt", b"")
    assert FolderList(tmp_path).classes == ["good", "new"]
    assert found(tmp_path) == before


@pytest.mark.parametrize(
    "links",
    [
        {"good/loop": "."},
        {"good/up": ".."},
        {"good/x": "../bad", "bad/y": "../good"},
        {"good/x": "../bad", "bad/deep/y": "../../good"},
        {"good/itself": "itself"},
    ],
)
def test_links_that_lead_round_are_passed_over(links: dict[str, str], tmp_path: Path) -> None:
    """A link to another folder is followed, but not back to one that it was reached from."""
    fill(tmp_path, good=2, bad=1, bad_deep=1)
    for place, target in links.items():
        (tmp_path / place).symlink_to(target)
    good, bad = ["000.png", "001.png"], ["000.png", "deep/000.png"]
    inside = {"good": good, "bad": bad, "good/x": bad, "bad/y": good, "bad/deep/y": good}
    expected = [f"{place}/{name}" for place in {"good", "bad", *links} for name in inside.get(place, [])]
    assert sorted(picture.path for picture in FolderList(tmp_path)) == sorted(expected)


@pytest.mark.parametrize("train", ["good", "train_good"])
def test_good_ones_and_a_test_or_none(train: str, tmp_path: Path) -> None:
    fill(tmp_path, **{train: 10})
    assert {key: len(paths) for key, paths in found(tmp_path).items()} == {"train good": 8, "test good": 2}
    fill(tmp_path, test_good=1, test_bad=3)
    assert {key: len(paths) for key, paths in found(tmp_path).items()} == {
        "train good": 10,
        "test good": 1,
        "test bad": 3,
    }


def test_a_table(tmp_path: Path) -> None:
    rows = ["path,label,split,mask", "b/1.png,ok,train,", "b/2.png,odd,test,m/2.png", '"b/3, 4.png",ok,test,']
    listed = TableList(put(tmp_path, "all.csv", "\ufeff".encode() + "\r\n".join(rows).encode()))
    assert listed.classes == ["odd", "ok"]
    assert [tuple(picture) for picture in listed] == [
        ("b/1.png", 1, "train", None),
        ("b/2.png", 0, "test", "m/2.png"),
        ("b/3, 4.png", 1, "test", None),
    ]
    undivided = TableList(put(tmp_path, "some.csv", b"label,path\n" + b"ok,a.png\n" * 5 + b"odd,b.png\n"))
    assert [p.part for p in assigned(undivided, {1}, 0.2)] == ["train"] * 4 + ["test"] * 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("file,label\n", "no column path"),
        ("path,split\n", "no column label"),
        ("", "no column path"),
        ("path,label,split\na,b,train\na,b,val\n", "line 3: split must be train or test, not 'val'"),
        ("path,label\na,b\na,\n", "line 3: a path and a label"),
        ("path,label\na\n", "line 2: a path and a label"),
        ("path,label\na,b\na\0,b\n", "line 3: a NUL character stands there"),
        (None, "cannot read .*No such file"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(text: str | None, reason: str, tmp_path: Path) -> None:
    if text is not None:
        put(tmp_path, "all.csv", text.encode())
    with pytest.raises(UserError, match=reason):
        list(TableList(tmp_path / "all.csv"))


def test_a_folder_without_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no folder .*nowhere"):
        FolderList(tmp_path / "nowhere")
    put(tmp_path, "1.png", b"")
    with pytest.raises(UserError, match=r"no folder for each class; put the normal pictures into .*good"):
        FolderList(tmp_path)
    fill(tmp_path, test_good=1)
    with pytest.raises(UserError, match="no folder for each class"):
        FolderList(tmp_path)
