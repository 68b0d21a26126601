"""One benchmark at a time in a folder, one attempt at a time at a cell; and no status 0 while a cell is missing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aeanomaly.commands.benchmark import cell as running
from aeanomaly.commands.benchmark import command
from aeanomaly.commands.benchmark.grid import read_grid
from aeanomaly.commands.main import main
from aeanomaly.runs.lock import alone_in
from tests.commands.benchmark.small_grid import SLEEP, benchmark, wait_for_cells, words, write_grid
from tests.commands.benchmark.test_stopped import children
from tests.conftest import REPOSITORY


def test_a_second_benchmark_in_a_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    with alone_in(out, "benchmark"):
        assert main(words(tmp_path, "out")) == 2
        assert capsys.readouterr().err == f"aeanomaly: error: another benchmark is at work in {out}\n"
        assert [path.name for path in out.iterdir()] == [".lock"]
        assert main(words(tmp_path, "out", "--dry-run")) == 0  # it only looks


def test_a_mistake_in_a_config_of_a_method_leaves_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = write_grid(tmp_path, methods={"dense": {"config": "gone.yaml"}})
    assert main(["benchmark", "--config", grid, "--out", str(tmp_path / "out")]) == 2
    assert "gone.yaml" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_cell_that_another_process_is_at_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_PATIENCE", 0.1)
    cell = read_grid(Path(write_grid(tmp_path))).cells[0]
    folder = running.cell_folder(tmp_path, cell)
    with alone_in(folder, "process"):
        (folder / "log.txt").write_text("of the other")
        assert running.run_cell(cell, tmp_path, 1, False) == (cell, f"another process is at work in {folder}")
        assert (folder / "log.txt").read_text() == "of the other"


def test_the_status_tells_of_cells_that_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even if each was said to have ended well: somebody may have deleted its folder since."""
    monkeypatch.setattr(command, "_run", lambda grid, cells, *others: [(cell, "") for cell in cells])
    assert main(words(tmp_path, "out")) == 1
    shown = capsys.readouterr().out
    assert "4 of 4 cells did not run yet" in shown
    assert f"Results: summary.md in {tmp_path / 'out'}\n" in shown


@pytest.mark.slow
def test_right_after_a_kill_the_same_command_goes_on_though_workers_live(uninterrupted: Path, tmp_path: Path) -> None:
    typed = benchmark(tmp_path, SLEEP, "--workers", "2")
    process = subprocess.Popen(
        [sys.executable, "-m", "aeanomaly", *typed],
        cwd=REPOSITORY,
        env={**os.environ, "SLEEP_IN_FIT": "20"},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for_cells(process, tmp_path / "out", 2)
        assert main(typed) == 2  # while it is at work
        workers = children(process.pid)
        assert len(workers) == 2
        process.kill()
        process.wait()
        assert main(typed) == 0
        assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert (tmp_path / "out" / "results.csv").read_text() == (uninterrupted / "results.csv").read_text()
