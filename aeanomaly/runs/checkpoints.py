"""What can be told from a checkpoint before anything is built, and which checkpoint of a run is the chosen one."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from aeanomaly.errors import UserError


def read_hyperparameters(path: Path) -> dict[str, Any]:
    """The model's configuration as saved in a checkpoint; empty if it was not trained from the command line.

    Raises:
        UserError: if the file is missing or not a checkpoint.
    """
    hyperparameters = _read(path, "hyper_parameters")
    hyperparameters.pop("_instantiator", None)
    return hyperparameters


def read_val_metrics(path: Path) -> dict[str, float]:
    """The ``val/*`` values of a checkpoint's own weights, by tag; empty if it was saved before any validation.

    Raises:
        UserError: if the file is missing or not a checkpoint.
    """
    return _read(path, "val_metrics")


def _read(path: Path, key: str) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"there is no checkpoint file {str(path)!r}")
    try:
        # mmap: only the structure is read here; the weights are read once, when the trainer loads them.
        content = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
        if "state_dict" not in content:
            raise KeyError("state_dict")
        return dict(content[key]) if key in content else {}
    except (OSError, EOFError, RuntimeError, LookupError, TypeError, ValueError, UnpicklingError, BadZipFile):
        raise UserError(f"{path} is not a readable checkpoint (damaged, or of another program)") from None


def chosen_checkpoint(trainer: L.Trainer) -> Path | None:
    """The best checkpoint of the first `ModelCheckpoint` that monitors something, wherever it stands in the list.

    None if there is no such callback, or it has not saved any.
    """
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.monitor and callback.best_model_path:
            return Path(callback.best_model_path)
    return None


def find_conflict(given: dict[str, Any], saved: dict[str, Any], prefix: str = "") -> tuple[str, Any, Any] | None:
    """The first key at which two configurations differ, with both values; None if they agree."""
    for key in given:
        here, there = given[key], saved.get(key, given[key])
        if isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
            here, there = dict(enumerate(here)), dict(enumerate(there))
        if isinstance(here, dict) and isinstance(there, dict):
            inner = find_conflict(here, there, f"{prefix}{key}.")
            if inner:
                return inner
        elif here != there:
            return f"{prefix}{key}", here, there
    return None
