"""What can be told from a checkpoint before anything is built."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import torch

from aeanomaly.errors import UserError
from aeanomaly.runs import LOGS


@dataclass(frozen=True)
class RunOfCheckpoint:
    """The run directory that a checkpoint lies in; each field is None where it lies elsewhere."""

    folder: Path | None
    config: Path | None

    def version_to_continue(self, root: Path) -> int | None:
        """N of ``version_N`` under ``root`` if that run is unfinished and so can go on in its own directory.

        A finished run is left as it is: training it further makes a new run.
        """
        if self.folder is None or self.folder.parent.resolve() != (root / LOGS).resolve():
            return None
        match = re.fullmatch(r"version_(\d+)", self.folder.name)
        return int(match[1]) if match and not _is_finished(self.folder) else None


def _is_finished(folder: Path) -> bool:
    try:
        return "test_seconds" in json.loads((folder / "metrics.json").read_text())
    except (OSError, ValueError):
        return False


def run_of_checkpoint(path: Path) -> RunOfCheckpoint:
    """Where a checkpoint file belongs, going by the layout ``version_N/checkpoints/*.ckpt``."""
    folder = path.resolve().parent.parent if path.parent.name == "checkpoints" else None
    config = folder / "config.yaml" if folder is not None else None
    return RunOfCheckpoint(folder, config if config is not None and config.is_file() else None)


def read_hyperparameters(path: Path) -> dict[str, Any]:
    """The model's configuration as saved in a checkpoint; empty if it was not trained from the command line.

    Raises:
        UserError: if the file is missing or not a checkpoint.
    """
    if not path.is_file():
        raise UserError(f"there is no checkpoint file {str(path)!r}")
    try:
        # mmap: only the structure is read here; the weights are read once, when the trainer loads them.
        content = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
        hyperparameters = dict(content["hyper_parameters"]) if "hyper_parameters" in content else {}
        if "state_dict" not in content:
            raise KeyError("state_dict")
    except (OSError, EOFError, RuntimeError, LookupError, TypeError, ValueError, UnpicklingError, BadZipFile):
        raise UserError(f"{path} is not a readable checkpoint (damaged, or of another program)") from None
    hyperparameters.pop("_instantiator", None)
    return hyperparameters


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
