"""Access to the TensorBoard writer for callbacks that write more than scalars."""

from __future__ import annotations

from pathlib import Path

import lightning as L
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure
from torch.utils.tensorboard.writer import SummaryWriter


def summary_writer(trainer: L.Trainer) -> SummaryWriter | None:
    """The writer, or None on other devices than the first or when TensorBoard is not used."""
    if not trainer.is_global_zero:
        return None
    loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
    return loggers[0].experiment if loggers else None


def save_figure(trainer: L.Trainer, figure: Figure, name: str) -> None:
    """Put a figure as ``figures/<name>.png`` beside the run's logs; call it on the first device only."""
    if trainer.loggers and isinstance(trainer.loggers[0], TensorBoardLogger):
        folder = Path(trainer.loggers[0].log_dir, "figures")
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / f"{name}.png", dpi=120)
