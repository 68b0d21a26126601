"""A callback that notes what options of the Trainer change about a fit, and that files do not tell."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor

from aeanomaly.outputs import Batch


def flat_weights(module: torch.nn.Module) -> Tensor:
    """A copy of all weights of a module, in a row."""
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


class Watch(L.Callback):
    """Notes what is set while a fit trains, validates and tests.

    Attributes:
        one_hook_per_call: lets a call take several steps, so that watching changes nothing.
        set_while_training: what torch has switched on, of ``anomaly detection``, ``deterministic``, ``benchmark``.
        inference_mode: whether it is on, in each batch of validation and test.
        loaders: of the training images, one an epoch.
        images: by index, as they are trained on, one list an epoch.
        sanity_batches: how many batches are looked at before training.
        weights: of the net, all in a row, when each epoch begins.
        gradients: that the last step took, all in a row.
    """

    one_hook_per_call = True

    def __init__(self) -> None:
        self.set_while_training: set[str] = set()
        self.inference_mode: set[bool] = set()
        self.loaders: list[Any] = []
        self.images: list[list[int]] = []
        self.sanity_batches = 0
        self.weights: list[Tensor] = []
        self.gradients = torch.empty(0)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.loaders.append(trainer.train_dataloader)
        self.images.append([])
        self.weights.append(flat_weights(pl_module))

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        flags = {
            "anomaly detection": torch.is_anomaly_enabled(),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "benchmark": torch.backends.cudnn.benchmark,
        }
        self.set_while_training |= {name for name, on in flags.items() if on}
        for one in [batch] if isinstance(batch, Batch) else batch:
            self.images[-1] += one.index.tolist()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        gradients = [parameter.grad.flatten() for parameter in pl_module.parameters() if parameter.grad is not None]
        self.gradients = torch.cat(gradients)

    def on_validation_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        self.sanity_batches += bool(trainer.sanity_checking)
        self.inference_mode.add(torch.is_inference_mode_enabled())

    def on_test_batch_start(self, *_: Any) -> None:
        self.inference_mode.add(torch.is_inference_mode_enabled())
