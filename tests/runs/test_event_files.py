"""A run that goes on takes back points of the files before it, whatever the clock does."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from aeanomaly.runs.event_files import date_before
from aeanomaly.runs.logger import RunLogger


def names(folder: Path) -> list[str]:
    return sorted(path.name.removeprefix("events.out.tfevents.") for path in folder.iterdir())


def make(folder: Path, *endings: str) -> None:
    for ending in endings:
        (folder / f"events.out.tfevents.{ending}").write_text(ending)


def test_only_names_that_would_not_come_before_are_changed(tmp_path: Path) -> None:
    make(tmp_path, "0000000007.a.1.0", "0000000019.a.1.0")
    date_before(tmp_path, 20)
    assert names(tmp_path) == ["0000000007.a.1.0", "0000000019.a.1.0"]
    make(tmp_path, "0000000020.a.1.0", "0000000020.a.2.0", "0000000300.b.1.0", "odd")
    date_before(tmp_path, 20)
    assert names(tmp_path) == [
        "0000000007.a.1.0",
        "0000000016.a.1.0",
        "0000000017.a.1.0",
        "0000000018.a.2.0",
        "0000000019.b.1.0",
        "odd",
    ]
    kept = [(tmp_path / f"events.out.tfevents.{name}").read_text() for name in names(tmp_path)[1:5]]
    assert kept == ["0000000019.a.1.0", "0000000020.a.1.0", "0000000020.a.2.0", "0000000300.b.1.0"]


def test_no_file_takes_the_name_of_another(tmp_path: Path) -> None:
    make(tmp_path, "1000000099.h.1.0", "1000000105.h.1.0")
    date_before(tmp_path, 1000000100)
    assert names(tmp_path) == ["1000000098.h.1.0", "1000000099.h.1.0"]
    assert (tmp_path / "events.out.tfevents.1000000098.h.1.0").read_text() == "1000000099.h.1.0"


@pytest.mark.parametrize("ahead", [0, 3600])
def test_a_file_of_the_same_second_or_of_the_future_is_read_first(
    ahead: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = int(time.time())
    run = tmp_path / "lightning_logs" / "version_0"

    def log(second: int, process: int, continued: int | None, values: dict[int, float]) -> None:
        monkeypatch.setattr(time, "time", lambda: second + 0.5)
        monkeypatch.setattr("os.getpid", lambda: process)
        logger = RunLogger(tmp_path, continued)
        if continued is not None:
            logger.go_on_from(min(values))
        for step, value in values.items():
            logger.log_metrics({"loss": value}, step)
        logger.release()

    log(now + ahead, 900, None, {0: 1.0, 1: 2.0, 2: 3.0})
    log(now, 80, 0, {1: 5.0})
    events = EventAccumulator(str(run))
    events.Reload()
    assert [(point.step, point.value) for point in events.Scalars("loss")] == [(0, 1.0), (1, 5.0)]
