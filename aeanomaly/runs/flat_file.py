"""A run's flat hyperparameters beside its config.yaml, which takes a hundred times longer to read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from aeanomaly.runs.files import write_whole

_NAME = "hyperparameters.json"


def write_flat(folder: Path, config: str, flat: dict[str, Any]) -> None:
    """Keep what `flatten_config` makes of a config, with a mark of that config's text.

    Raises:
        UserError: if the place cannot be written to.
    """
    write_whole(folder / _NAME, json.dumps({"config": _mark(config), "hyperparameters": flat}, indent=2) + "\n")


def read_flat(folder: Path, config: str) -> dict[str, Any] | None:
    """What was kept of this very text; None where nothing was, or the config was changed since, or cannot be read."""
    try:
        kept = json.loads((folder / _NAME).read_bytes())
        if kept["config"] == _mark(config):
            flat: dict[str, Any] = kept["hyperparameters"]
            return flat if isinstance(flat, dict) else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        pass
    return None


def _mark(config: str) -> str:
    return hashlib.sha256(config.encode(errors="surrogateescape")).hexdigest()
