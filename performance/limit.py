"""The limit of a training step: its floating-point operations at the speed of a matrix product on this machine.

    python performance/limit.py [cpu or cuda [float32 bf16]]

prints one line of JSON: operations per image, and the operations per second of square products at each precision that
the device has in hardware.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise

import torch

WIDTHS = (784, 500, 125, 40, 5)  # of the study's encoder; the decoder mirrors it
PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16}
SIZE = 2048  # rows and columns of the measured product: its 17 GFLOP leave all overhead behind


def linear_products() -> list[int]:
    """Products of numbers in each linear layer for one image, in the order of the layers."""
    return [width * following for widths in (WIDTHS, WIDTHS[::-1]) for width, following in pairwise(widths)]


def forward_operations() -> int:
    """Floating-point operations of the matrix products of a forward pass, per image."""
    return 2 * sum(linear_products())


def step_operations() -> int:
    """Those of a training step: backward is two products per layer, for weights and input, but the images need none."""
    return 3 * forward_operations() - 2 * linear_products()[0]


def precisions(device: str) -> list[str]:
    """What the device multiplies in hardware. Emulated, a single bfloat16 product of this size takes minutes."""
    # Not at the top: lightning comes with it, and other scripts take WIDTHS from here.
    from aeanomaly.training.precision import Quickest

    quickest = Quickest("cpu" if device == "cpu" else "cuda")
    return ["float32", "bf16"] if quickest.precision == "bf16-mixed" else ["float32"]


def product_rate(dtype: torch.dtype, device: str, repeats: int = 7) -> float:
    """Operations per second of a square matrix product, the best of several."""
    left, right = (torch.randn(SIZE, SIZE, device=device).to(dtype) for _ in range(2))
    result = torch.empty(SIZE, SIZE, dtype=dtype, device=device)
    products = 1 if device == "cpu" else 50  # a single one is over before a GPU's clock can tell
    best = float("inf")
    for _ in range(repeats + 1):  # the first one starts threads and is never the best
        start = time.perf_counter()
        for _ in range(products):
            torch.mm(left, right, out=result)
        if device != "cpu":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * SIZE**3 * products / best


if __name__ == "__main__":
    device = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    rates = {name: product_rate(PRECISIONS[name], device) for name in sys.argv[2:] or precisions(device)}
    print(json.dumps({"forward": forward_operations(), "step": step_operations(), "rates": rates}))
