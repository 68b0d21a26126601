"""Images as users have them: arrays, tensors, PIL images and files, one or many, brought to what a net takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from aeanomaly.data.ahead import ahead
from aeanomaly.data.pictures import Geometry, PictureError, apart, of_image, read_picture
from aeanomaly.data.plain_file import plain_file
from aeanomaly.errors import UserError

Picture: TypeAlias = "NDArray[Any] | Tensor | Image.Image | str | Path"
Images: TypeAlias = "Picture | Iterable[Picture]"

_WANTED = "an image is an array, a tensor, a PIL image or a path"


def batches(images: Images, geometry: Geometry, size: int) -> Iterator[Tensor]:
    """(B, C, H, W) batches of ``size`` images, uint8 or float32 in [0, 1], the last one perhaps smaller.

    What an iterator yields is read up to two batches ahead.

    Raises:
        UserError: for what is no image, has other channels, or values out of range.
    """
    if isinstance(images, (np.ndarray, Tensor)):
        array = with_axes(_numpy(images), geometry.channels)
        if array.shape[2:] == geometry[:2]:
            for start in range(0, len(array), size):
                yield _tensor(checked(array[start : start + size]))
            return
        images = list(array)
    elif isinstance(images, (str, Path, Image.Image)):
        images = [images]
    try:
        iter(images)
    except TypeError:
        raise UserError(f"{_WANTED}, or several of these, not {type(images).__name__}") from None
    if not isinstance(images, (list, tuple)) or len(set(map(id, images))) < len(images):
        images = map(_own, images)
    pictures = ahead(lambda picture: prepared(picture, geometry), images, 2 * size)
    while piece := list(islice(pictures, size)):
        yield together(piece)


def together(images: list[Tensor]) -> Tensor:
    """(B, C, H, W) of (C, H, W) tensors; uint8 if all of them are."""
    if len({image.dtype for image in images}) > 1:
        images = [image / 255 if image.dtype == torch.uint8 else image for image in images]
    return torch.stack(images)


def prepared(picture: Picture, geometry: Geometry) -> Tensor:
    """(C, H, W) of one picture, uint8 or float32 in [0, 1].

    Raises:
        UserError: as `batches`.
    """
    if isinstance(picture, (np.ndarray, Tensor)):
        array = checked(with_axes(_numpy(picture), geometry.channels))
        if len(array) != 1:
            raise UserError(f"an array of {list(picture.shape)} among others holds several images: give each alone")
        if array.shape[2:] == geometry[:2]:
            return _tensor(array[0])
    if geometry.channels not in (1, 3):
        raise UserError(f"the net takes arrays of {geometry.channels} channels and {list(geometry[:2])} pixels only")
    if isinstance(picture, (np.ndarray, Tensor)):
        # Pictures have 256 levels: what is resized as one of them is what the net was trained on.
        levels = array[0] if array.dtype == np.uint8 else np.rint(array[0] * 255).astype(np.uint8)
        picture = Image.fromarray(levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0))
    if isinstance(picture, Image.Image):
        try:
            return of_image(picture, geometry)
        except PictureError as error:
            raise _refusal(picture, error) from None
    if isinstance(picture, (str, Path)):
        if Path(picture).is_dir():
            raise UserError(
                f"{picture} is a folder: give the pictures in it, such as "
                f"sorted(pathlib.Path({str(picture)!r}).rglob('*.png')); only the command takes a folder, by --images"
            )
        try:
            return read_picture(plain_file(Path(picture)).read_bytes(), geometry)[0]
        except PictureError as error:
            raise UserError(f"{picture} {error}") from None
        except OSError as error:
            raise UserError(f"cannot read {picture}: {error.strerror or error}") from None
        except ValueError as error:
            raise UserError(f"{str(picture)!r} is no path: {error}") from None
    raise UserError(f"{_WANTED}, not {type(picture).__name__}")


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))  # a copy only of what is not so


def _own(picture: Picture) -> Picture:
    """A copy of what whoever yields it may fill anew, or move to its next frame, before a thread gets to it."""
    if isinstance(picture, np.ndarray):
        return picture.copy()
    if isinstance(picture, Tensor):
        return picture.detach().clone()
    if isinstance(picture, Image.Image):
        try:
            return apart(picture)
        except PictureError as error:
            raise _refusal(picture, error) from None
    return picture


def _refusal(image: Image.Image, error: PictureError) -> UserError:
    return UserError(f"a PIL image of mode {image.mode} {error}")


def with_axes(array: NDArray[Any], channels: int) -> NDArray[Any]:
    """A (N, C, H, W) view of one image or several, whose channels may stand first or last.

    (H, W) and (N, H, W) are grey. Where both readings are possible, channels stand first.

    Raises:
        UserError: if it has not so many channels.
    """
    shape = array.shape
    if array.ndim == 2 and channels == 1:
        return array[None, None]
    if array.ndim == 3 and shape[0] == channels:
        return array[None]
    if array.ndim == 3 and shape[2] == channels:
        return np.moveaxis(array, 2, 0)[None]
    if array.ndim == 3 and channels == 1 and shape[2] not in (3, 4):  # else colours for a net of grey images
        return array[:, None]
    if array.ndim == 4 and shape[1] == channels:
        return array
    if array.ndim == 4 and shape[3] == channels:
        return np.moveaxis(array, 3, 1)
    grey = ", (H, W) or (N, H, W)" if channels == 1 else ""
    raise UserError(
        f"an array of shape {list(shape)} holds no images of {channels} channel{'s' * (channels > 1)}, which the net "
        f"takes: (C, H, W), (H, W, C), (N, C, H, W), (N, H, W, C){grey}"
    )


def checked(array: NDArray[Any]) -> NDArray[Any]:
    """Pixels as uint8 or as float32 in [0, 1].

    Raises:
        UserError: for other numbers.
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "fb":
        raise UserError(f"pixels must be uint8 from 0 to 255 or floating-point from 0 to 1, not {array.dtype}")
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    if not (low >= 0 and high <= 1):  # NaN too
        what = "NaN" if math.isnan(low) or math.isnan(high) else f"{low:g} to {high:g}"
        raise UserError(f"floating-point pixels must lie between 0 and 1, here are {what}; uint8 goes from 0 to 255")
    return array.astype(np.float32, copy=False)


def _numpy(array: NDArray[Any] | Tensor) -> NDArray[Any]:
    if isinstance(array, np.ndarray):
        return array
    tensor = array.detach().cpu()
    found: NDArray[Any] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return found
