"""Which callbacks of a config a run takes, and which it has whatever its config says."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint, ProgressBar

from aeanomaly.callbacks.progress import Progress
from aeanomaly.callbacks.report import Report
from aeanomaly.runs.logger import claim_version


def without_what_is_unused(config: dict[str, Any], command: str, page: bool) -> None:
    """Take from the Trainer's config, in place, the callbacks that have nothing to do.

    Args:
        config: arguments of the Trainer.
        command: where nothing is trained there is nothing to keep, nor to be warned about.
        page: whether report.html is wanted at all.
    """
    unused: tuple[type[Callback], ...] = () if page else (Report,)
    if command != "fit":
        warnings.filterwarnings("ignore", message=".*callbacks used to create the checkpoint need to be provided.*")
        config["enable_checkpointing"] = False
        unused += (Checkpoint,)
    if unused:
        config["callbacks"] = [
            callback for callback in config.get("callbacks") or [] if not isinstance(callback, unused)
        ]


def progress(config: dict[str, Any]) -> list[Callback]:
    """Our progress display, unless the Trainer's config switches it off or has another."""
    off = config.get("enable_progress_bar") is False or config.get("barebones")
    other = any(isinstance(callback, ProgressBar) for callback in config.get("callbacks") or [])
    return [] if off or other else [Progress()]


def give_checkpoints_a_folder(trainer: Trainer) -> Path | None:
    """Give each run without a logger a folder of its own for checkpoints, as it has no run directory.

    Returns:
        The folder that they were given; None if none are kept, or only where the config says.
    """
    callbacks = [c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint) and c.dirpath is None]
    if not callbacks:
        return None
    root = Path(trainer.default_root_dir, "checkpoints")
    folder = root / f"version_{claim_version(root)}"
    for callback in callbacks:  # the other devices are told by the callback
        callback.dirpath = str(folder)
    return folder
