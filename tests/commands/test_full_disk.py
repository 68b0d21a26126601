"""A disk without room for what a command writes: one line, and what was there before stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from aeanomaly.commands.main import main

resource = pytest.importorskip("resource", reason="limits the size of files by POSIX")


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("command", "name"), [("predict", "scores.csv"), ("report", "page.html"), ("export", "net.pt2")]
)
def test_the_former_file_stays_and_one_line_says_why(
    command: str, name: str, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / name
    target.write_text("former")
    np.save(tmp_path / "images.npy", np.zeros((20, 8, 8), np.uint8))
    words = {
        "predict": ["predict", "--ckpt_path", str(run_dir), "--images", str(tmp_path / "images.npy")],
        "report": ["report", str(run_dir)],
        "export": ["export", "--ckpt_path", str(run_dir), "--format", "torch"],
    }[command]
    with no_file_beyond(400):
        assert main([*words, "--out", str(target)]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert error[-1].startswith("aeanomaly: error: cannot write ")
    assert "File too large" in error[-1]
    assert len(error) == 1 + (command == "predict" and "rows are kept" in error[0])
    assert target.read_text() == "former"


def test_a_write_that_no_command_foresees(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fill(options: list[str]) -> int:
        raise OSError(28, "No space left on device", "/somewhere/file")

    monkeypatch.setattr("aeanomaly.commands.compare.command.main", fill)
    assert main(["compare"]) == 2
    assert capsys.readouterr().err == (
        "aeanomaly: error: No space left on device: /somewhere/file; make room, then give the command again\n"
    )
