"""Run directories and checkpoints, found wherever they lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from aeanomaly.errors import UserError
from aeanomaly.runs.finding import find_checkpoint, find_runs, natural_order, run_names, run_of_checkpoint
from tests.runs.test_reading import make_run


def test_runs_are_found_however_deep_once_and_in_natural_order(tmp_path: Path) -> None:
    logs = tmp_path / "lightning_logs"
    for number in (10, 2, 1):
        make_run(logs / f"version_{number}")
    renamed = make_run(logs / "my best run")
    deep = make_run(tmp_path / "bench" / "cell" / "lightning_logs" / "version_0")
    (logs / "version_3").mkdir()  # claimed a moment ago
    make_run(logs / ".trash" / "version_0")
    make_run(logs / "version_1" / "checkpoints" / "version_0")
    (logs / "notes").mkdir()
    (logs / "README.md").touch()
    expected = [renamed, *(logs / f"version_{n}" for n in (1, 2, 3, 10))]
    assert find_runs([logs]) == expected
    assert find_runs([logs / "version_10", tmp_path]) == [logs / "version_10", deep, *expected[:-1]]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    real = make_run(tmp_path / "elsewhere" / "version_0")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "linked").symlink_to(real)
    (folder / "back").symlink_to(folder)
    assert find_runs([folder]) == [folder / "linked"]
    assert find_runs([folder, real]) == [folder / "linked"]


def test_paths_without_a_run_are_mistakes(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for name, message in (("nowhere", "no run or folder"), ("empty", "no run in"), ("file", "is a file")):
        with pytest.raises(UserError, match=message) as caught:
            find_runs([tmp_path / name])
        assert "\n" not in str(caught.value)
        assert str(tmp_path / name) in str(caught.value)


def test_names_are_short_and_unique(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one, two, other = Path("a/logs/version_1"), Path("a/logs/version_2"), Path("../elsewhere/version_1")
    assert list(run_names([one, two]).values()) == ["version_1", "version_2"]
    assert list(run_names([one, Path("b/logs/version_1")]).values()) == ["a/logs/version_1", "b/logs/version_1"]
    assert list(run_names([one, other]).values()) == [f"{tmp_path.name}/a/logs/version_1", "elsewhere/version_1"]
    assert list(run_names([Path()]).values()) == [tmp_path.name]
    assert run_names([]) == {}


def test_predictions_alone_are_passed_over_unless_named(tmp_path: Path) -> None:
    tested = make_run(tmp_path / "version_0")
    predicted = make_run(tmp_path / "version_1", metrics=None)
    for run in (tested, predicted):
        (run / "predictions.csv").touch()
    assert find_runs([tmp_path]) == [tested]
    assert find_runs([predicted]) == [predicted]


def test_natural_order() -> None:
    assert sorted(["b", "v10", "v2", "10", "9", "v2b", ""], key=natural_order) == [
        "",
        "9",
        "10",
        "b",
        "v2",
        "v2b",
        "v10",
    ]


def test_the_run_of_a_checkpoint_named_from_within_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "version_0" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "best.ckpt").touch()
    (tmp_path / "link.ckpt").symlink_to(folder / "best.ckpt")
    assert run_of_checkpoint(tmp_path / "link.ckpt") is None
    monkeypatch.chdir(folder)
    assert run_of_checkpoint(Path("best.ckpt")) == tmp_path / "version_0"


def test_which_checkpoint_of_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no run or checkpoint"):
        find_checkpoint(tmp_path / "nothing")
    with pytest.raises(UserError, match="no checkpoint in"):
        find_checkpoint(tmp_path)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("other", "last", "best-epoch=02"):
        (folder / f"{name}.ckpt").touch()
        assert find_checkpoint(tmp_path).stem == name
        assert find_checkpoint(folder).stem == name
    (folder / "best-epoch=03.ckpt").touch()
    with pytest.raises(UserError, match="several checkpoints, name one: best-epoch=02"):
        find_checkpoint(tmp_path)
    (tmp_path / "metrics.json").write_text('{"checkpoint": "checkpoints/other.ckpt"}')
    assert find_checkpoint(tmp_path) == folder / "other.ckpt"
    (folder / "other.ckpt").unlink()
    with pytest.raises(UserError, match=r"that was tested is not in .*checkpoints any more: other\.ckpt"):
        find_checkpoint(tmp_path)
