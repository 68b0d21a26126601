"""Where things lie in a run's directory."""

from __future__ import annotations

import re
from pathlib import Path

from aeanomaly.runs.reading import read_run

LOGS = "lightning_logs"


def run_of_checkpoint(path: Path) -> Path | None:
    """The run directory that a checkpoint lies in, going by the layout ``version_N/checkpoints/*.ckpt``, if any."""
    return path.resolve().parent.parent if path.parent.name == "checkpoints" else None


def version_to_continue(checkpoint: Path, root: Path) -> int | None:
    """N of ``version_N`` under ``root`` if the checkpoint's run is unfinished and so can go on in its own directory.

    A finished run is left as it is: training it further makes a new run.
    """
    folder = run_of_checkpoint(checkpoint)
    if folder is None or folder.parent.resolve() != (root / LOGS).resolve():
        return None
    match = re.fullmatch(r"version_(\d+)", folder.name)
    return int(match[1]) if match and not read_run(folder).finished else None
