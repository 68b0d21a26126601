"""What all callbacks that look at an evaluation have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure
from PIL import Image
from torch.utils.tensorboard.writer import SummaryWriter

from aeanomaly.errors import UserError
from aeanomaly.outputs import Batch, Evaluation, Output
from aeanomaly.plots.render import drawn
from aeanomaly.training.module import LitAutoencoder


def autoencoder(callback: L.Callback, module: L.LightningModule) -> LitAutoencoder:
    """The module as what the callback needs.

    Raises:
        UserError: if it is another one.
    """
    if isinstance(module, LitAutoencoder):
        return module
    needs, found = type(callback).__name__, type(module).__name__
    raise UserError(f"{needs} needs a LitAutoencoder, not {found}: remove the callback, or train a LitAutoencoder")


def logged_step(trainer: L.Trainer) -> int:
    """Where pictures of an evaluation stand, as scalars do: in a fit at the latest step, counted from 0."""
    return max(trainer.global_step - (trainer.state.fn == "fit"), 0)


class EvaluationCallback(L.Callback):
    """Hands every due evaluation to `on_evaluation`, at the end of a validation or test pass.

    The sanity check is skipped. A subclass overrides `on_evaluation`, and `on_images` if it keeps some of the images
    that pass by.

    Args:
        every_n_epochs: while fitting, the epochs from one validation that is due to the next; None for none of them.
            Outside a fit every pass is due.

    Raises:
        UserError: if ``every_n_epochs`` is below 1, or, when it is set up, if the module is no `LitAutoencoder`.
    """

    only_validations_of_a_fit = False  # whether those of the command `validate` are left out

    def __init__(self, every_n_epochs: int | None = 1) -> None:
        if every_n_epochs is not None and every_n_epochs < 1:
            raise UserError(f"{type(self).__name__}: every_n_epochs must be at least 1, got {every_n_epochs}")
        self.every_n_epochs = every_n_epochs

    def on_evaluation(self, trainer: L.Trainer, module: LitAutoencoder, evaluation: Evaluation, stage: str) -> None:
        """Look at all images of a pass; ``stage`` is ``val`` or ``test``. Called on every device, so it may gather."""
        raise NotImplementedError

    def on_images(self, trainer: L.Trainer, output: Output, batch: Batch, stage: str) -> None:
        """Look at one batch of a pass that is due, on the device that has it."""

    def is_due(self, trainer: L.Trainer, stage: str) -> bool:
        """Whether the pass that is running is one to look at."""
        if trainer.sanity_checking:
            return False
        if trainer.state.fn != "fit":
            return stage == "test" or not self.only_validations_of_a_fit
        return self.every_n_epochs is not None and (trainer.current_epoch + 1) % self.every_n_epochs == 0

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        autoencoder(self, pl_module)

    def on_validation_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, *_: Any) -> None:
        if self.is_due(trainer, "val"):
            self.on_images(trainer, outputs, batch, "val")

    def on_test_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, *_: Any) -> None:
        self.on_images(trainer, outputs, batch, "test")

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._look(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._look(trainer, pl_module, "test")

    def _look(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if self.is_due(trainer, stage):
            module = autoencoder(self, pl_module)
            # On every device, whatever comes of it: making an evaluation gathers.
            self.on_evaluation(trainer, module, module.evaluation(), stage)

    def writer(self, trainer: L.Trainer) -> SummaryWriter | None:
        """TensorBoard's writer; None on other devices than the first and where TensorBoard is not used."""
        if not trainer.is_global_zero:
            return None
        loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        return loggers[0].experiment if loggers else None

    def show(self, trainer: L.Trainer, figure: Figure, tag: str, file_name: str) -> None:
        """Send a figure to TensorBoard, and put that of a test into the run as ``figures/<file_name>.png`` too.

        Nothing is drawn where `writer` is None.
        """
        writer = self.writer(trainer)
        if writer is None:
            return
        pixels = drawn(figure)
        writer.add_image(tag, pixels, logged_step(trainer), dataformats="HWC")
        if tag.startswith("test/"):
            folder = Path(writer.get_logdir(), "figures")
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{file_name}.png")
