"""When the page of a run is made."""

from __future__ import annotations

import warnings
from pathlib import Path

import lightning as L

from aeanomaly.callbacks.base import autoencoder
from aeanomaly.errors import AnomalyWarning, UserError
from aeanomaly.page.choice import IMAGES
from aeanomaly.page.gallery import Gallery, make_gallery
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
        logger = next((logger for logger in trainer.loggers if isinstance(logger, RunLogger)), None)
        if stage != "test" or logger is None or not trainer.is_global_zero:
            return
        # Whatever goes wrong: the run is more than its page, and a page more than its pictures.
        try:
            run, gallery, without = Path(logger.log_dir), None, ""
            try:
                gallery = self._gallery(trainer, pl_module, run)
            except Exception as error:
                without = _in_a_line(error)
            write_page(run, gallery, without)
        except Exception as error:
            warnings.warn(f"no report.html was made: {_in_a_line(error)}", AnomalyWarning, stacklevel=2)

    def _gallery(self, trainer: L.Trainer, module: L.LightningModule, run: Path) -> Gallery:
        data = data_of(trainer)
        if not self.images or data is None:
            raise UserError("none were asked for" if data is not None else "the run had no DataModule")
        detector = autoencoder(self, module).detector
        try:
            return make_gallery(detector, data, read_scored(run), self.images, trainer.strategy.root_device)
        finally:
            detector.cpu()  # where Lightning leaves the module


def _in_a_line(error: Exception) -> str:
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return kind + " ".join(str(error).split())
