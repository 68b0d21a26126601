"""What the command line sets about its own process: what it says, and what stands in the way of a training step."""

from __future__ import annotations

import functools
import gc
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_only

from aeanomaly.errors import AnomalyWarning
from aeanomaly.runs.files import is_full_disk

# Lightning's notices (available accelerators, tips) are for its developers; its warnings stay, and so do the summary of
# a profiler that was asked for, and the word that a process of the run was killed.
_LEVELS = {
    "aeanomaly": logging.INFO,
    "lightning.pytorch": logging.WARNING,
    "lightning.fabric": logging.WARNING,
    "lightning.pytorch.profilers": logging.INFO,
    "lightning.fabric.strategies.launchers": logging.INFO,
}


# For each `process_restored` at work, whether the caller had frozen objects: more would not come apart from them again.
_callers_freeze: list[bool] = []


@contextmanager
def process_restored() -> Iterator[None]:
    """Give the process back as it was found, whatever happens inside and however it ends.

    That is: ``sys.argv``, the environment (a seed or a rendezvous address in it must not reach the next run), signal
    handlers (after Ctrl-C, Lightning leaves the process deaf to another), warnings, levels and handlers of the loggers
    in `_LEVELS`, the garbage collector (enabled, frozen), the treatment of denormal numbers, the number of threads, and
    the hook for exceptions of threads.
    """
    with ExitStack() as back, warnings.catch_warnings():
        back.callback(setattr, sys, "argv", sys.argv)
        back.callback(setattr, threading, "excepthook", threading.excepthook)
        back.enter_context(mock.patch.dict(os.environ))
        for logger in map(logging.getLogger, _LEVELS):
            back.callback(setattr, logger, "propagate", logger.propagate)
            back.callback(setattr, logger, "handlers", logger.handlers[:])
            back.callback(logger.setLevel, logger.level)
        if threading.current_thread() is threading.main_thread():  # only it may set handlers
            for number in signal.valid_signals():
                back.callback(_restorer(signal.getsignal, signal.signal, number))
        back.callback(gc.enable if gc.isenabled() else gc.disable)
        _callers_freeze.append(bool(gc.get_freeze_count()))
        if not _callers_freeze[-1]:
            back.callback(gc.unfreeze)
        back.callback(_callers_freeze.pop)
        back.callback(torch.set_flush_denormal, sys.float_info.min / 2 == 0)  # whether the processor makes it zero
        back.callback(_restorer(torch.get_num_threads, torch.set_num_threads))
        yield


def _restorer(read: Callable[..., Any], write: Callable[..., Any], *which: Any) -> Callable[[], None]:
    """What writes the present value back, if it has changed by then and is known: a handler may not be Python's."""
    before = read(*which)

    def restore() -> None:
        if before is not None and read(*which) != before:
            write(*which, before)

    return restore


class _SaidBefore(logging.Filter):
    """Leaves out what a data source has said in the same command: it is asked for the shape of its images first."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is new, or of somebody else."""
        line = record.getMessage()
        new = line not in self._said or not record.name.startswith("aeanomaly.data.")
        self._said.add(line)
        return new


@contextmanager
def command_process(words: Sequence[str]) -> Iterator[None]:
    """The settings for one command; whoever runs a command inside a process of his own gets his settings back.

    Args:
        words: the command and its options. They become ``sys.argv``, because the processes of further devices are
            started with a copy of it.
    """
    with process_restored():
        sys.argv = [sys.argv[0], *words]
        handler = logging.StreamHandler(sys.stdout)
        handler.addFilter(lambda record: getattr(rank_zero_only, "rank", 0) == 0 or record.levelno > logging.WARNING)
        handler.addFilter(_SaidBefore())
        for name, level in _LEVELS.items():
            logger = logging.getLogger(name)
            logger.setLevel(level)
            if level == logging.INFO:
                logger.addHandler(handler)
                logger.propagate = name == "aeanomaly"  # Lightning's own handler would say it once more
        _choose_warnings()
        threading.excepthook = functools.partial(_show_exception_of_thread, threading.excepthook)
        # Adam's averages for pixels that are black in nearly every image decay into denormal numbers, which a CPU
        # handles in microcode: 7 % of a run of base.yaml. They are too small to change a weight. Set before the first
        # tensor operation, because threads started later inherit it and those already running do not.
        for kind in (np.float32, np.float64):  # numpy 1 finds out its limits when asked first, and warns of a zero
            np.finfo(kind)
        torch.set_flush_denormal(True)
        if not torch.cuda.is_available():
            # PyTorch's optimisers ask for a GPU in every step, and without one look for the driver's library anew.
            os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
        _spare_imports()
        yield


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    kind = "warning" if issubclass(category, AnomalyWarning) else category.__name__
    print(f"{kind}: {' '.join(str(message).split())}", file=sys.stderr, flush=True)


def _show_exception_of_thread(show: Callable[[Any], object], happened: Any) -> None:
    """Leave out a full disk that the thread has noted: TensorBoard's writer raises it again in the main thread."""
    if not is_full_disk(happened.exc_value) or getattr(happened.thread, "exception", None) is not happened.exc_value:
        show(happened)


def _choose_warnings() -> None:
    warnings.showwarning = _show_warning
    # As Python does by default: what a library's next version will change is no news to its users' users.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    # A deprecation inside Lightning (2.6 with torch from 2.9 on) that its users can do nothing about.
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.* is deprecated.*")
    # It counts calls of the training loop, which may take several steps each; points are logged by steps.
    warnings.filterwarnings("ignore", message="The number of training batches .* smaller than the logging interval")
    # Batches are gathered from memory: worker processes would only add a copy, so the advice to use some is mistaken.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")


@functools.cache
def _spare_imports() -> None:
    """Freeze what the imports made, without looking for garbage in it; once, as a later freeze would keep garbage."""
    if not any(_callers_freeze):
        gc.freeze()


def settle_memory() -> None:
    """Spare the garbage collector what is alive before training (modules, classes, configuration): it stays alive.

    Walking through it again and again took 6 % of a training step.
    """
    if not any(_callers_freeze):
        gc.collect()
        gc.freeze()
