"""The cache is whole or absent, of what the files hold now, and where it can be written."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from aeanomaly.data.picture_cache import cache_places, found_or_written
from aeanomaly.errors import UserError


def write(target: Path) -> None:
    (target / "content").write_text("whole")


def unwanted(target: Path) -> None:
    raise AssertionError("written again")


def without_a_home(path: Path) -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_what_is_there_is_not_written_again(tmp_path: Path) -> None:
    assert found_or_written([tmp_path], "kind-1", write) == tmp_path / "kind-1"
    assert found_or_written([tmp_path], "kind-1", unwanted) == tmp_path / "kind-1"
    assert (tmp_path / "kind-1" / "content").read_text() == "whole"


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ZeroDivisionError, UserError])
def test_what_was_interrupted_is_not_there(failure: type[BaseException], tmp_path: Path) -> None:
    def interrupted(target: Path) -> None:
        write(target)
        raise failure

    with pytest.raises(failure):
        found_or_written([tmp_path], "kind-1", interrupted)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    killed = tmp_path / "kind-2.partial"  # nobody could clear that away
    killed.mkdir()
    write(killed)
    assert found_or_written([tmp_path], "kind-1", write).is_dir()
    assert not killed.exists()


def test_of_two_at_once_one_waits(tmp_path: Path) -> None:
    begun, written = threading.Event(), []

    def slow(target: Path) -> None:
        begun.set()
        time.sleep(0.3)
        write(target)
        written.append(target)

    first = threading.Thread(target=found_or_written, args=([tmp_path], "kind-1", slow))
    first.start()
    begun.wait()
    assert (found_or_written([tmp_path], "kind-1", unwanted) / "content").read_text() == "whole"
    first.join()
    assert len(written) == 1


def test_an_outdated_one_goes_after_a_day_of_disuse(tmp_path: Path) -> None:
    for name in ("kind-1", "kind-2", "kind-3", "other-1"):
        found_or_written([tmp_path], name, write)
    for name in ("kind-1", "kind-2", "other-1"):
        os.utime(tmp_path / name, (0, 0))
    found_or_written([tmp_path], "kind-2", unwanted)  # used once more
    found_or_written([tmp_path], "kind-4", write)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        "kind-2",
        "kind-3",
        "kind-4",
        "other-1",
    ]


def test_where_nothing_can_be_written_another_place_is_taken(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")  # as good as read-only, for root too
    assert found_or_written([blocked / "cache", tmp_path / "own"], "kind-1", write) == tmp_path / "own" / "kind-1"
    with pytest.raises(UserError, match=r"cannot write into .*data\.cache_dir"):
        found_or_written([blocked / "cache"], "kind-1", write)


def test_the_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "users"))
    beside, own = cache_places(tmp_path / "a" / "pictures", None)
    assert beside == tmp_path / "a" / "pictures" / ".aeanomaly_cache"
    assert own.parent == tmp_path / "users" / "aeanomaly"
    assert own != cache_places(tmp_path / "b" / "pictures", None)[1]
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "expanduser", without_a_home)
    assert cache_places(tmp_path / "a" / "pictures", None) == [beside]
    (given,) = cache_places(tmp_path / "a" / "pictures", str(tmp_path / "given"))
    assert (given.parent, given.name) == (tmp_path / "given", own.name)
