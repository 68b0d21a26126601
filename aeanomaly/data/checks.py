"""Whether arrays are images and labels as a data source must give them, and what they are instead."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aeanomaly.data.table import Arrays
from aeanomaly.errors import UserError

_LOOKED_AT = 1000  # images whose values are told, of what may be larger than memory


def refuse_other_images(images: NDArray[Any], where: str) -> None:
    """Refuse what is not (N, H, W) or (N, C, H, W) uint8 with something in it.

    Raises:
        UserError: one line that begins with ``where``, with what it is and how to make images of it.
    """
    shape, kind = list(images.shape), images.dtype.kind
    if kind not in "uifb":
        raise UserError(f"{where} holds {images.dtype}; images must be uint8 from 0 to 255")
    if images.ndim not in (3, 4):
        raise UserError(f"{where} has shape {shape}; images must be (N, H, W) or (N, C, H, W)")
    if not images.size:
        raise UserError(f"{where} holds no {'images' if not len(images) else 'pixels'}: its shape is {shape}")
    if images.dtype != np.uint8:
        raise UserError(f"{where} holds {images.dtype} {_range(images)}; images must be uint8 from 0 to 255")
    square = images.shape[1] == images.shape[2]  # else it may be a signal in several channels
    if images.ndim == 4 and min(images.shape[1:3]) > 4 and images.shape[3] in ((1, 3, 4) if square else (3, 4)):
        raise UserError(
            f"{where} has shape {shape}, with the channels last; images must be (N, C, H, W): "
            "numpy.moveaxis(images, 3, 1)"
        )


def _range(images: NDArray[Any]) -> str:
    """The values of the first images, and how to make bytes of them."""
    some = images[:_LOOKED_AT].astype(np.float64)
    if images.dtype.kind == "b":
        return "(numpy.uint8(255) * images makes bytes of them)"
    if not np.isfinite(some).all():
        return f"with {'NaN' if np.isnan(some).any() else 'infinity'} among the pixels"
    low, high = some.min(), some.max()
    if images.dtype.kind == "f" and low >= 0 and high <= 1:
        return f"from {low:g} to {high:g} (numpy.rint(255 * images).astype(numpy.uint8) makes bytes of them)"
    inside = low >= 0 and high <= 255
    return f"from {low:g} to {high:g}" + (" (images.astype(numpy.uint8) makes bytes of them)" if inside else "")


def checked(arrays: Arrays, source: str) -> Arrays:
    """The arrays of a data source, if they are what `Arrays` says.

    Raises:
        UserError: if they have another type or shape, nothing in them, or other numbers of images and of labels.
    """
    for part in ("train", "test"):
        images: Tensor = getattr(arrays, f"{part}_images")
        labels: Tensor = getattr(arrays, f"{part}_labels")
        if images.dtype != torch.uint8 or images.ndim != 4 or not images.numel():
            raise UserError(
                f"{source}: the {part} images are {_kind(images)} {list(images.shape)}; they must be (N, C, H, W) "
                "uint8 from 0 to 255, with at least one image"
            )
        if labels.dtype != torch.int64 or labels.ndim != 1:
            raise UserError(f"{source}: the {part} labels are {_kind(labels)} {list(labels.shape)}, not (N,) int64")
        if len(labels) != len(images):
            raise UserError(f"{source}: there are {len(labels):,} labels for {len(images):,} {part} images")
    return arrays


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
