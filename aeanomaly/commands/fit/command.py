"""``fit``, ``validate``, ``test`` and ``predict``: what can be checked without torch, then the Trainer."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence

from aeanomaly.commands.fit.options import complete_options
from aeanomaly.commands.fit.threads import ProcessorWatch, wait_passively


def _load_trainer() -> Callable[[str, Sequence[str], ProcessorWatch | None], int]:
    """What runs a Trainer verb, imported without the garbage collector."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        from aeanomaly.commands.fit.trainer_cli import run_trainer_command
    finally:
        if was_enabled:
            gc.enable()
    return run_trainer_command


def main(command: str, options: Sequence[str]) -> int:
    """Run one Trainer verb.

    Args:
        command: ``fit``, ``validate``, ``test`` or ``predict``.
        options: the words after it.

    Returns:
        The exit status.

    Raises:
        UserError: after a user's mistake.
    """
    words = complete_options(command, list(options))  # a missing file is named before torch is imported
    wait_passively()
    watch = ProcessorWatch()  # importing torch takes long enough to see whether the processors are free
    return _load_trainer()(command, words, watch)
