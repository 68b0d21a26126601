"""The config.yaml of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.cli import SaveConfigCallback

from aeanomaly.runs.files import write_whole
from aeanomaly.runs.logger import RunLogger


class RunConfig(SaveConfigCallback):
    """Saves the run's config.yaml so that ``fit --config`` of it repeats the run from its start."""

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Save once, on the first device, and only into a run directory."""
        logger = trainer.logger
        if self.already_saved or not isinstance(logger, RunLogger) or not trainer.is_global_zero:
            return
        config = self.config.clone()
        config.pop("ckpt_path", None)  # repeating a run must not start from where it was resumed
        write_whole(Path(logger.log_dir, self.config_filename), self.parser.dump(config, skip_none=False))
        self.already_saved = True
