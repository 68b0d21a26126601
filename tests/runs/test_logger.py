"""The directory of a run: taken by one run only, and removed if nothing came of it."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lightning.pytorch.utilities import rank_zero_only
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from aeanomaly.errors import UserError
from aeanomaly.runs.logger import RunLogger, claim_version


def _claim_together(folder: Path, start: object, claimed: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    claimed.put([claim_version(folder) for _ in range(10)])  # type: ignore[attr-defined]


def test_threads_that_claim_at_once_get_distinct_numbers(tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def claim(_: int) -> list[int]:
        start.wait()
        return [claim_version(tmp_path / "new" / "logs") for _ in range(20)]

    with ThreadPoolExecutor(8) as pool:
        numbers = [number for mine in pool.map(claim, range(8)) for number in mine]
    assert sorted(numbers) == list(range(160))


@pytest.mark.skipif(sys.platform == "win32", reason="starts processes by fork, to save importing torch in each")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_processes_that_claim_at_once_get_distinct_numbers(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    start, claimed = fork.Barrier(4), fork.Queue()
    processes = [fork.Process(target=_claim_together, args=(tmp_path, start, claimed), daemon=True) for _ in range(4)]
    for process in processes:
        process.start()
    numbers = [number for _ in processes for number in claimed.get(timeout=20)]
    for process in processes:
        process.join(timeout=20)
    assert sorted(numbers) == list(range(40))
    assert all((tmp_path / f"version_{number}").is_dir() for number in numbers)


def test_unrelated_names_do_not_count(tmp_path: Path) -> None:
    for name in ("version_x", "version_", "my_version_9", "version_12.bak", "notes", "version_2"):
        (tmp_path / name).mkdir()
    (tmp_path / "version_3").write_text("a file of that name is in the way all the same")
    assert claim_version(tmp_path) == 4


def test_a_gap_is_not_filled(tmp_path: Path) -> None:
    # The run after a deleted one is still the newest by number.
    (tmp_path / "version_10").mkdir()
    assert claim_version(tmp_path) == 11


def test_a_place_that_cannot_be_written_to_is_a_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot make a run directory in"):
        claim_version(tmp_path / "file" / "logs")


def test_a_logger_takes_one_directory_and_two_take_two(tmp_path: Path) -> None:
    one, other = RunLogger(tmp_path), RunLogger(tmp_path)
    assert [Path(logger.log_dir) for logger in (one, other, one)] == [
        tmp_path / "lightning_logs" / f"version_{number}" for number in (0, 1, 0)
    ]


def test_other_devices_make_no_directory_and_are_told_the_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    logger = RunLogger(tmp_path)
    assert logger.version == -1
    assert list(tmp_path.iterdir()) == []
    logger.share(5)
    assert Path(logger.log_dir).name == "version_5"
    (tmp_path / "lightning_logs" / "version_5").mkdir(parents=True)
    logger.discard()
    assert Path(logger.log_dir).is_dir()


def test_fit_and_test_share_one_event_file(tmp_path: Path) -> None:
    logger = RunLogger(tmp_path)
    for step in range(2):
        logger.log_metrics({"loss": 1.0}, step)
        logger.finalize("success")
    assert len(list(tmp_path.rglob("events.out.tfevents.*"))) == 1
    assert not list(tmp_path.rglob("hparams.yaml"))


def test_a_run_without_any_result_is_discarded(tmp_path: Path) -> None:
    logger = RunLogger(tmp_path)
    logger.log_metrics({"loss": 1.0}, 0)
    Path(logger.log_dir, "config.yaml").write_text("a: 1")
    Path(logger.log_dir, "checkpoints").mkdir()
    logger.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("result", ["checkpoints/last.ckpt", "metrics.json"])
def test_a_run_with_a_result_is_kept(tmp_path: Path, result: str) -> None:
    logger = RunLogger(tmp_path)
    path = Path(logger.log_dir, result)
    path.parent.mkdir(exist_ok=True)
    path.write_text("something")
    logger.discard()
    assert path.is_file()


def test_neither_a_continued_run_nor_one_that_never_began_is_discarded(tmp_path: Path) -> None:
    folder = tmp_path / "lightning_logs" / "version_0"
    folder.mkdir(parents=True)
    RunLogger(tmp_path, version=0).discard()
    RunLogger(tmp_path).discard()
    assert list(folder.parent.iterdir()) == [folder]


def test_the_epoch_is_no_scalar(tmp_path: Path) -> None:
    logger = RunLogger(tmp_path)
    logger.log_metrics({"val/loss": 1.0, "epoch": 3}, 5)
    logger.log_metrics({"test/auroc/kmeans": 0.5, "epoch": 4}, 6)
    logger.finalize("success")
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    assert events.Tags()["scalars"] == ["val/loss", "test/auroc/kmeans"]
    assert [point.step for point in events.Scalars("val/loss")] == [5]
