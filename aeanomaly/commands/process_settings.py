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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_only

from aeanomaly.errors import AnomalyWarning

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
    in `_LEVELS`, the garbage collector (enabled, frozen), the treatment of denormal numbers, and the number of threads.
    """
    argv, environment, threads = sys.argv, dict(os.environ), torch.get_num_threads()
    collecting, frozen, flushing = gc.isenabled(), gc.get_freeze_count(), _flushes_denormal()
    loggers = [(each, each.level, each.propagate, each.handlers[:]) for each in map(logging.getLogger, _LEVELS)]
    main_thread = threading.current_thread() is threading.main_thread()  # only it may set handlers
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()} if main_thread else {}
    _callers_freeze.append(bool(frozen))
    with warnings.catch_warnings():
        try:
            yield
        finally:
            sys.argv = argv
            os.environ.clear()
            os.environ.update(environment)
            for logger, level, propagate, own in loggers:
                logger.setLevel(level)
                logger.propagate = propagate
                logger.handlers[:] = own
            for number, handler in handlers.items():
                if handler is not None and signal.getsignal(number) != handler:  # None: not set from Python
                    signal.signal(number, handler)
            (gc.enable if collecting else gc.disable)()
            if not frozen:
                gc.unfreeze()
            _callers_freeze.pop()
            torch.set_flush_denormal(flushing)
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)


def _flushes_denormal() -> bool:
    """Whether the processor makes denormal numbers zero, which nothing but the result of one can tell."""
    return sys.float_info.min / 2 == 0


@contextmanager
def command_process(words: Sequence[str]) -> Iterator[None]:
    """The settings for one command; whoever runs a command inside a process of his own gets his settings back.

    Args:
        words: the command and its options. They become ``sys.argv``, because the processes of further devices are
            started with a copy of it.
    """
    with process_restored():
        sys.argv = [sys.argv[0], *words]
        handler = _log_handler()
        for name, level in _LEVELS.items():
            logger = logging.getLogger(name)
            logger.setLevel(level)
            if level == logging.INFO:
                logger.addHandler(handler)
                logger.propagate = name == "aeanomaly"  # Lightning's own handler would say it once more
        _choose_warnings()
        _quicken_arithmetic()
        _spare_imports()
        yield


def _log_handler() -> logging.Handler:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.addFilter(lambda record: getattr(rank_zero_only, "rank", 0) == 0 or record.levelno > logging.WARNING)
    return handler


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    kind = "warning" if issubclass(category, AnomalyWarning) else category.__name__
    print(f"{kind}: {' '.join(str(message).split())}", file=sys.stderr, flush=True)


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


def _quicken_arithmetic() -> None:
    # Adam's averages for pixels that are black in nearly every image decay into denormal numbers, which a CPU handles
    # in microcode: 7 % of a run of base.yaml. They are too small to change a weight. Set before the first tensor
    # operation, because threads started later inherit it and those already running do not.
    torch.set_flush_denormal(True)
    if not torch.cuda.is_available():
        # PyTorch's optimisers ask for a GPU in every step, and where there is none look for the driver's library anew.
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")


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
