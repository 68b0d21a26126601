"""What the command line sets about its own process: what it says, and what stands in the way of a training step."""

from __future__ import annotations

import gc
import logging
import os
import sys
import warnings
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_only

from aeanomaly.errors import AnomalyWarning


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    kind = "warning" if issubclass(category, AnomalyWarning) else category.__name__
    print(f"{kind}: {' '.join(str(message).split())}", file=sys.stderr, flush=True)


class _CurrentOutput(logging.Handler):
    """Prints to what standard output is now: a caller may have sent an earlier run's to a file that is closed."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), flush=True)


def prepare_output() -> None:
    """Say what matters to the user and leave out what does not."""
    # Lightning's notices (available accelerators, tips) are for its developers; its warnings stay.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    package = logging.getLogger("aeanomaly")
    if not package.handlers:
        handler = _CurrentOutput()
        handler.setFormatter(logging.Formatter("%(message)s"))
        handler.addFilter(lambda record: getattr(rank_zero_only, "rank", 0) == 0 or record.levelno > logging.WARNING)
        package.addHandler(handler)
    package.setLevel(logging.INFO)
    warnings.showwarning = _show_warning
    # As Python does by default: what a library's next version will change is no news to its users' users.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    # A deprecation inside Lightning (2.6 with torch from 2.9 on) that its users can do nothing about.
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.* is deprecated.*")
    # Batches are gathered from memory: worker processes would only add a copy, so the advice to use some is mistaken.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")


def prepare_process() -> None:
    """Keep two things out of every training step that have no business there."""
    if not torch.cuda.is_available():
        # PyTorch's optimisers ask for a GPU in every step, and where there is none look for the driver's library anew.
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    # What is alive now (modules, classes, configuration) stays alive: the garbage collector need not walk through it.
    gc.collect()
    gc.freeze()


def release_process() -> None:
    """Let the garbage collector have what `prepare_process` kept from it: another run may follow in this process."""
    gc.unfreeze()
