"""Gathering rows from devices that hold different numbers of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from lightning.pytorch.strategies import Strategy
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from aeanomaly.errors import UserError


class ElsewhereError(RuntimeError):
    """A failure of another device, of which this one was told."""


def gather_rows(rows: Tensor, strategy: Strategy) -> Tensor:
    """The (N_i, ...) rows of every device, one after the other, on every device; a device may hold no row at all."""
    if getattr(strategy, "world_size", 1) == 1:
        return rows
    return torch.cat(gather_all_tensors(rows.detach().to(strategy.root_device)))


def gather_in_order(columns: Mapping[str, Tensor], index: Tensor, strategy: Strategy) -> dict[str, Tensor]:
    """Several (N_i, ...) columns, gathered and ordered by ``index``, the (N_i,) places of the rows among all.

    So they do not depend on the number of devices.
    """
    order = gather_rows(index, strategy).argsort()
    return {name: gather_rows(rows, strategy)[order] for name, rows in columns.items()}


def broadcast_tensors(tensors: Mapping[str, Tensor], strategy: Strategy) -> dict[str, Tensor]:
    """The tensors of the first device, on every device; those given by the others are ignored.

    They travel as tensors: a large bank of features would take many times its size as a pickled object.
    """
    layout = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
    received: dict[str, Tensor] = {}
    for name, (shape, dtype) in strategy.broadcast(layout).items():
        own = tensors[name] if strategy.is_global_zero else torch.empty(shape, dtype=dtype)
        received[name] = own.to(strategy.root_device).contiguous()
        torch.distributed.broadcast(received[name], 0)
    return received


def on_rank_zero(do: Callable[[], None], strategy: Strategy) -> None:
    """Do something on one device.

    A failure there is raised everywhere: the other devices would otherwise wait for ever.

    Raises:
        UserError: if ``do`` raised it.
        ElsewhereError: on the other devices, for any other exception.
    """
    failure = told = None
    if strategy.is_global_zero:
        try:
            do()
        except Exception as error:  # whatever it is, the others must hear of it before it is raised here
            failure, reason = error, f"failed on the first device: {type(error).__name__}: {error}"
            told = UserError(str(error)) if isinstance(error, UserError) else ElsewhereError(reason)
    told = strategy.broadcast(told)
    if told is not None:
        raise failure or told
