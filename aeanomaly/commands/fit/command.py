"""``fit``, ``validate``, ``test`` and ``predict``: what can be checked without torch, then the Trainer."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from aeanomaly.commands.fit.early import refuse_early
from aeanomaly.commands.fit.options import complete_options
from aeanomaly.commands.fit.resume import resumed_run
from aeanomaly.commands.fit.threads import ProcessorWatch, wait_passively

if TYPE_CHECKING:
    from aeanomaly.commands.fit.trainer_cli import AnomalyCLI


def main(command: str, options: Sequence[str]) -> int:
    """Run one Trainer verb with the words after it.

    Raises:
        UserError: after a user's mistake.
    """
    run(command, options)
    return 0


def run(command: str, options: Sequence[str]) -> AnomalyCLI:
    """As `main`, and give what was run.

    Raises:
        UserError: after a user's mistake.
    """
    # What is missing is named before torch is imported.
    resumed, words = resumed_run(options) if command == "fit" else (None, list(options))
    words = complete_options(command, words)
    refuse_early(words)
    wait_passively()
    watch = ProcessorWatch()  # importing torch takes long enough to see whether the processors are free
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        import torch

        from aeanomaly.commands.fit.trainer_cli import AnomalyCLI
    finally:
        if was_enabled:
            gc.enable()
    start: Callable[..., Any] = AnomalyCLI
    if torch.distributed.is_torchelastic_launched():
        from torch.distributed.elastic.multiprocessing.errors import record

        start = record(start)  # so that torchrun's last words name the error of the process that failed first
    cli: AnomalyCLI = start(command, words, watch, resumed=resumed)
    return cli
