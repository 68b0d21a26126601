"""Files that are either absent or whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aeanomaly.errors import UserError
from aeanomaly.runs.files import write_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("content", "stored"), [(b"\x00\r\n\xff", b"\x00\r\n\xff"), ("ä\n", b"\xc3\xa4\n"), ("", b"")])
def test_content_arrives_as_given_in_folders_made_for_it(tmp_path: Path, content: bytes | str, stored: bytes) -> None:
    path = tmp_path / "new" / "folder" / "file"
    write_whole(path, content)
    assert path.read_bytes() == stored
    assert names(path.parent) == ["file"]


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, "a long first version")
    with path.open() as reader:
        write_whole(path, "short")
        assert reader.read() == "a long first version"  # who was reading the old one still does
    assert path.read_text() == "short"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_keeps_the_old_file_and_leaves_no_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    def fail(*_: object) -> None:
        assert len(names(tmp_path)) == 2  # the new content is beside the old one
        raise failure

    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises((UserError, KeyboardInterrupt)) as raised:
        write_whole(path, "new")
    monkeypatch.undo()
    assert names(tmp_path) == ["file"]
    assert path.read_text() == "old"
    if isinstance(failure, OSError):
        assert str(raised.value) == f"cannot write {path}: No space left on device"
    else:
        assert raised.value is failure


def test_a_folder_in_the_way_is_a_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*file"):
        write_whole(tmp_path / "file", "new")
    assert names(tmp_path) == ["file"]


def test_a_file_in_place_of_the_folder_is_a_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(UserError, match="cannot write"):
        write_whole(tmp_path / "file" / "inner", "new")
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_others_may_read_the_file_as_any_new_one(tmp_path: Path) -> None:
    (tmp_path / "ordinary").write_text("")
    write_whole(tmp_path / "file", "")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_a_device_or_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=r"cannot write .*pipe: it is a device or a pipe, name a file"):
        write_whole(tmp_path / "pipe", "new")
    assert (tmp_path / "pipe").is_fifo()
