"""Where things lie in a run's directory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from aeanomaly.runs.reading import read_run

LOGS = "lightning_logs"


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
        return int(match[1]) if match and not read_run(self.folder).finished else None


def run_of_checkpoint(path: Path) -> RunOfCheckpoint:
    """Where a checkpoint file belongs, going by the layout ``version_N/checkpoints/*.ckpt``."""
    folder = path.resolve().parent.parent if path.parent.name == "checkpoints" else None
    config = folder / "config.yaml" if folder is not None else None
    return RunOfCheckpoint(folder, config if config is not None and config.is_file() else None)
