"""When the page of a run is made."""

from __future__ import annotations

import warnings
from pathlib import Path

import lightning as L

from aeanomaly.callbacks.base import autoencoder
from aeanomaly.errors import AnomalyWarning, UserError
from aeanomaly.page.gallery import IMAGES, make_gallery
from aeanomaly.page.page import write_page
from aeanomaly.page.scored import read_scored
from aeanomaly.runs.environment import data_of
from aeanomaly.runs.logger import RunLogger


class Report(L.Callback):
    """Writes report.html into the run's directory after its test: one file that shows the run, in any browser.

    If it cannot be made, a warning says why, and the run is none the worse. ``python -m aeanomaly report`` makes one
    later, or one of several runs.

    Args:
        images: test images shown at most; 0 for none.

    Raises:
        UserError: if it is negative.
    """

    def __init__(self, images: int = IMAGES) -> None:
        if images < 0:
            raise UserError(f"Report: images must be at least 0, got {images}")
        self.images = images

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """The last that happens in a test: the record of the run is written by now."""
        logger = trainer.logger
        if stage != "test" or not trainer.is_global_zero or not isinstance(logger, RunLogger):
            return
        try:
            run, data, gallery = Path(logger.log_dir), data_of(trainer), None
            if data is not None and self.images:
                detector, device = autoencoder(self, pl_module).detector, trainer.strategy.root_device
                gallery = make_gallery(detector, data, read_scored(run), self.images, device)
                detector.cpu()  # where Lightning leaves the module
            write_page(run, gallery, "" if gallery else "none were asked for, or there is no DataModule")
        except Exception as error:  # whatever it is: the run is more than its page
            what = " ".join(f"{type(error).__name__}: {error}".split())
            warnings.warn(f"no report.html was made: {what}", AnomalyWarning, stacklevel=2)
