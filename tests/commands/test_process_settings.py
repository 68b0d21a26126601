"""A command gives its process back as it found it."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from aeanomaly.commands.main import main
from aeanomaly.commands.process_settings import command_process, settle_memory
from tests.conftest import DEBUG

LOGGERS = ("aeanomaly", "lightning.pytorch", "lightning.fabric", "lightning.pytorch.profilers")


def state() -> dict[str, Any]:
    """All that a command changes."""
    return {
        "argv": sys.argv,
        "environment": dict(os.environ),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "warnings": (list(warnings.filters), warnings.showwarning),
        "loggers": [(each.level, each.propagate, each.handlers[:]) for each in map(logging.getLogger, LOGGERS)],
        "collector": (gc.isenabled(), gc.get_freeze_count()),
        "denormal": bool((torch.full((1,), 1e-40) * 1).item()),
        "threads": torch.get_num_threads(),
        "excepthook": threading.excepthook,
    }


@pytest.fixture(autouse=True)
def _imports_are_spared() -> None:
    """Not here: a command freezes and thaws by itself only for a caller who has frozen nothing."""
    gc.unfreeze()


def spoil() -> None:
    """What Lightning, a callback or a user's class may do during a run."""
    sys.argv = ["other"]
    os.environ["PL_GLOBAL_SEED"] = "77"
    os.environ.pop("HOME", None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: None)
    warnings.simplefilter("error")
    logging.getLogger("lightning.pytorch").setLevel(logging.CRITICAL)
    logging.getLogger("aeanomaly").handlers.clear()
    gc.disable()
    settle_memory()
    torch.set_num_threads(torch.get_num_threads() + 1)
    threading.excepthook = print


@pytest.fixture
def _unusual() -> Any:
    """A caller with settings that are nobody's default."""
    threads, filters = torch.get_num_threads(), warnings.filters[:]
    torch.set_num_threads(threads + 2)
    torch.set_flush_denormal(True)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    gc.freeze()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()
    logging.getLogger("lightning.fabric").setLevel(logging.NOTSET)
    torch.set_flush_denormal(False)
    torch.set_num_threads(threads)
    warnings.filters[:] = filters


@pytest.mark.parametrize("how", ["ends", "fails"])
def test_everything_comes_back(how: str) -> None:
    before = state()
    try:
        with command_process(["fit"]):
            assert sys.argv[1:] == ["fit"]
            assert not state()["denormal"]
            spoil()
            assert state() != before
            if how == "fails":
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert how == "fails"
    assert state() == before


@pytest.mark.usefixtures("_unusual")
def test_settings_of_the_caller_come_back_not_the_defaults() -> None:
    before = state()
    assert before["collector"][1] > 0
    assert not before["denormal"]
    with command_process(["fit"]):
        spoil()
    after = state()
    # Objects that were frozen may have gone by themselves; none was added.
    assert after.pop("collector") == (False, pytest.approx(before.pop("collector")[1], rel=0.01))
    assert after == before


def test_a_thread_that_may_not_handle_signals() -> None:
    seen: list[BaseException] = []

    def run() -> None:
        try:
            with command_process(["fit"]):
                pass
        except BaseException as error:
            seen.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == []


def test_a_whole_command_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # What is set for and by the import of torch and Lightning lasts as long as they do.
    monkeypatch.setenv("GOMP_SPINCOUNT", "2000")
    importlib.import_module("aeanomaly.commands.fit.trainer_cli")
    before = state()
    assert main(["fit", "--config", DEBUG, "--trainer.fast_dev_run", "true", "--seed_everything", "3"]) == 0
    assert state() == before
