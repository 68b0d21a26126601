"""Training that has lost its way ends where it did, instead of in an ordinary table."""

from __future__ import annotations

import math

import lightning as L
import torch

from aeanomaly.errors import DivergedError
from aeanomaly.runs.checkpoints import kept_checkpoint

# No trained net comes near it, and squares of such numbers leave nothing of the digits of float32.
LARGEST_WEIGHT = 1e6


def check_loss(module: L.LightningModule, loss: float, step: int) -> None:
    """Stop a fit whose loss is no number.

    With a scaler of gradients (fp16), which leaves steps out whose numbers are too large, the weights decide.

    Args:
        module: it is being trained.
        loss: of one step, or a mean over steps.
        step: the step that it is known by, counted from 1.

    Raises:
        DivergedError: if the loss is NaN or infinite.
    """
    if math.isfinite(loss):
        return
    if getattr(module.trainer.precision_plugin, "scaler", None) is not None:
        check_weights(module)
        return
    raise _diverged(module, f"the loss is {loss} at step {step}")


def check_weights(module: L.LightningModule) -> None:
    """Stop a fit whose weights are no numbers, or beyond `LARGEST_WEIGHT`.

    Raises:
        DivergedError: if they are.
    """
    largest = [parameter.detach().abs().max() for parameter in module.parameters() if parameter.numel()]
    worst = float(torch.stack([value.float() for value in largest]).max()) if largest else 0.0  # NaN outdoes all
    if not worst <= LARGEST_WEIGHT:
        what = f"as large as {worst:.0e}" if math.isfinite(worst) else "no longer finite"
        raise _diverged(module, f"weights are {what} after step {module.global_step}")


def _diverged(module: L.LightningModule, what: str) -> DivergedError:
    kept = kept_checkpoint(module.trainer)
    good = f"the last good checkpoint is {kept}" if kept is not None else "there is no good checkpoint yet"
    return DivergedError(
        f"training diverged: {what} (epoch {module.current_epoch + 1}); {good}; lower model.optimizer.lr, or clip "
        "gradients with trainer.gradient_clip_val"
    )
