"""Access to the TensorBoard writer for callbacks that write more than scalars."""

from __future__ import annotations

from pathlib import Path

import lightning as L
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure
from PIL import Image
from torch.utils.tensorboard.writer import SummaryWriter

from aeanomaly.plots.render import drawn


def summary_writer(trainer: L.Trainer) -> SummaryWriter | None:
    """The writer, or None on other devices than the first or when TensorBoard is not used."""
    if not trainer.is_global_zero:
        return None
    loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
    return loggers[0].experiment if loggers else None


def show_figure(trainer: L.Trainer, figure: Figure, tag: str, file_name: str | None = None) -> None:
    """Send a figure to TensorBoard, and if asked put it as ``figures/<file_name>.png`` beside the run's logs.

    Call it on the first device only. Without TensorBoard nothing is drawn.
    """
    writer = summary_writer(trainer)
    if writer is None:
        return
    pixels = drawn(figure)
    writer.add_image(tag, pixels, trainer.global_step, dataformats="HWC")
    if file_name is not None:
        folder = Path(writer.get_logdir(), "figures")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{file_name}.png")
