"""The config.yaml of a run, and what else of a run that goes on is changed once nothing can refuse it any more."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import yaml
from lightning.pytorch.cli import SaveConfigCallback

from aeanomaly.errors import AnomalyWarning
from aeanomaly.runs.checkpoints import go_back_to
from aeanomaly.runs.files import write_whole
from aeanomaly.runs.finding import run_of_checkpoint
from aeanomaly.runs.flat_file import write_flat
from aeanomaly.runs.hyperparameters import flatten_config
from aeanomaly.runs.logger import RunLogger
from aeanomaly.runs.reading import read_run

# Options of the data on which neither the images of a training step nor their order depend.
_NOT_TRAINED_ON = ("data.eval_batch_size", "data.cache_dir", "data.download", "data.memory_map")


class RunConfig(SaveConfigCallback):
    """Saves the run's config.yaml so that ``fit --config`` of it repeats the run from its start.

    The checkpoint that a fit goes on from may refuse it as late as Lightning reads it. The run must then be as it was,
    so that its own config still goes on with it: nothing in it is replaced before the first step.
    """

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Save, but for a fit that goes on, unless nothing was left to train and this is its test."""
        continued = isinstance(trainer.logger, RunLogger) and trainer.logger.continued
        if stage != "fit" or not (continued or self.config.get("ckpt_path")):
            super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save what was not saved yet."""
        super().setup(trainer, pl_module, "fit")

    def save_config(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Save, if there is a run directory; called once, on the first device."""
        if not isinstance(trainer.logger, RunLogger):
            return
        config = self.config.clone()
        checkpoint = config.pop("ckpt_path", None)  # repeating a run must not start from where it was resumed
        folder, text = Path(trainer.logger.log_dir), self.parser.dump(config, skip_none=False)
        flat = flatten_config(yaml.safe_load(text))
        if checkpoint and stage == "fit":
            _warn_of_other_data(flat, Path(checkpoint))
        if checkpoint and trainer.logger.continued:
            go_back_to(Path(checkpoint))
        trainer.logger.begun = True
        write_whole(folder / "config.yaml", text)
        write_flat(folder, text, flat)


def _warn_of_other_data(flat: Mapping[str, Any], checkpoint: Path) -> None:
    """Name what differs from the data that the run of a checkpoint was trained on; the split is refused elsewhere."""
    run = run_of_checkpoint(checkpoint)
    before = (read_run(run).hyperparameters if run is not None else None) or {}
    keys = [key for key in flat if key.startswith("data.") and key in before and key not in _NOT_TRAINED_ON]
    changed = [f"{key} is {flat[key]} here but was {before[key]}" for key in keys if flat[key] != before[key]]
    if changed:
        what = "for the steps up to the checkpoint: no training from the start repeats this run"
        warnings.warn(f"{', '.join(changed)} {what}", AnomalyWarning, stacklevel=2)
