"""The quickest precision that a machine has in hardware."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from lightning.pytorch.plugins import Precision


class Quickest(Precision):
    """bf16-mixed where the processor has bfloat16 matrix products in hardware, else 32-true.

    Elsewhere bfloat16 is emulated and slower than float32. ``metrics.json`` records which of the two was used. Give it
    as ``trainer.plugins`` with ``trainer.precision: null``.

    Args:
        device: ``cpu`` or ``cuda``; ``auto`` is ``cuda`` if there is a GPU. A precision is made before the accelerator
            is chosen: where a GPU is left unused on purpose, say ``cpu``, or it is float32 that is used on the CPU.
    """

    def __init__(self, device: Literal["auto", "cpu", "cuda"] = "auto") -> None:
        self.device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        in_hardware = torch.cuda.is_bf16_supported(False) if self.device == "cuda" else cpu_has_bfloat16()
        self.precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed" if in_hardware else "32-true"

    @contextmanager
    def forward_context(self) -> Iterator[None]:
        """Autocast to bfloat16, or leave everything as it is."""
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.precision == "bf16-mixed"):
            yield


def cpu_has_bfloat16(described: str | None = None) -> bool:
    """Whether the processor multiplies bfloat16 matrices in hardware.

    Args:
        described: the text of ``/proc/cpuinfo``; None reads it. Where there is none (not on Linux) the answer is no.
    """
    if described is None:
        path = Path("/proc/cpuinfo")
        described = path.read_text() if path.is_file() else ""
    # `flags` is what x86 calls them, `Features` Arm.
    return re.search(r"^(flags|Features)\s*:.*\b(avx512_bf16|amx_bf16|bf16)\b", described, re.MULTILINE) is not None
