"""The loss and its gradients recorded once as CUDA graphs and then replayed (experimental).

Launching the kernels of a small net takes a CPU longer than a GPU needs to run them. A graph launches them all at once
(PyTorch documentation, `torch.cuda.make_graphed_callables`). The optimiser's step stays outside.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aeanomaly.errors import UserError
from aeanomaly.models.base import Autoencoder

Terms = dict[str, Tensor]


class _Loss(nn.Module):
    """The terms of a net's training loss as a module that is called, which is what can be recorded."""

    def __init__(self, net: Autoencoder) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Terms:
        return self.net.training_loss(image)[0]


def graphed_loss(
    net: Autoencoder, image: Tensor, record: Callable[..., Any] = torch.cuda.make_graphed_callables
) -> Callable[[Tensor], Terms]:
    """A function from images to the terms of the training loss that replays a recording of it.

    Args:
        net: in training mode; its parameters must stay the same objects, its layers must not be frozen or thawed later.
        image: (B, C, H, W), a batch of the size that is recorded; batches of another size are not replayed.
        record: makes the recording; another one for tests without a GPU.

    Raises:
        UserError: if the net cannot be recorded, or draws random numbers on the CPU, which would stay the same.
    """
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    before, cached = _random_states(), torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)  # a recording must cast the weights anew in every step
    try:
        replayed = record(_Loss(net), (image.clone(),))
    except (RuntimeError, AssertionError) as error:
        cause = error.__context__ or error  # ending a recording that failed raises an error of its own
        reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        raise UserError(f"model.cuda_graph: this net cannot be recorded ({reason}); set it to false") from error
    finally:
        torch.set_autocast_cache_enabled(cached)
    with torch.no_grad():
        for buffer, kept in buffers:  # recording runs the net several times, which moves what batch norm has seen
            buffer.copy_(kept)
    if _random_states() != before:
        raise UserError(
            "model.cuda_graph: this net draws random numbers on the CPU, which a recording would repeat in every step; "
            "draw them on the device of the images (torch.randn_like), or set model.cuda_graph to false"
        )

    def terms_of(batch: Tensor) -> Terms:
        terms: Terms = replayed(batch) if batch.shape == image.shape else net.training_loss(batch)[0]
        return terms

    return terms_of


def _random_states() -> bytes:
    return pickle.dumps((random.getstate(), np.random.get_state(), torch.get_rng_state().numpy()))
