"""What the command line sets about its own process: what it says, and what stands in the way of a training step."""

from __future__ import annotations

import gc
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_only

from aeanomaly.errors import AnomalyWarning


@contextmanager
def command_process(words: Sequence[str]) -> Iterator[None]:
    """The settings for one command; whoever runs a command inside a process of his own gets his settings back.

    Args:
        words: the command and its options. They become ``sys.argv``, because the processes of further devices are
            started with a copy of it.
    """
    argv, visible = sys.argv, os.environ.get("CUDA_VISIBLE_DEVICES")
    handler = _log_handler()
    loggers = {name: logging.getLogger(name) for name in ("aeanomaly", "lightning.pytorch", "lightning.fabric")}
    levels = {name: logger.level for name, logger in loggers.items()}
    with warnings.catch_warnings():
        try:
            sys.argv = [argv[0], *words]
            for name, logger in loggers.items():
                # Lightning's notices (available accelerators, tips) are for its developers; its warnings stay.
                logger.setLevel(logging.INFO if name == "aeanomaly" else logging.WARNING)
            loggers["aeanomaly"].addHandler(handler)
            _choose_warnings()
            _quicken_arithmetic()
            yield
        finally:
            sys.argv = argv
            loggers["aeanomaly"].removeHandler(handler)
            for name, logger in loggers.items():
                logger.setLevel(levels[name])
            gc.unfreeze()
            torch.set_flush_denormal(False)
            if visible is None:
                os.environ.pop("CUDA_VISIBLE_DEVICES", None)


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


def settle_memory() -> None:
    """Spare the garbage collector what is alive before training (modules, classes, configuration): it stays alive.

    Walking through it again and again took 6 % of a training step.
    """
    gc.collect()
    gc.freeze()
