"""The optimiser of the study, at the speed that the device allows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

# Device types for which PyTorch has a fused Adam: one kernel for all parameters instead of several for each.
_FUSED_DEVICES = ("cpu", "cuda", "mps", "xpu")


class Adam(torch.optim.Adam):
    """`torch.optim.Adam` (Kingma and Ba, 2015), fused where the parameters' device has it.

    Args:
        params: parameters to optimise.
        lr: learning rate.
        betas: decay rates of the two running averages.
        eps: added to the denominator.
        weight_decay: L2 penalty.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        params = list(params)
        tensors = [p for p in params if isinstance(p, Tensor)]
        fused = bool(tensors) and all(p.device.type in _FUSED_DEVICES and torch.is_floating_point(p) for p in tensors)
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=fused)
