"""One picture file, whatever its kind, as an array of the wanted size."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from torch import Tensor
from torch.nn.functional import interpolate

_DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # Pillow's modes of more than 8 bits


class PictureError(Exception):
    """A picture that cannot be used; the message says why, after the name of the file."""


class Geometry(NamedTuple):
    """What every picture is made into."""

    height: int
    width: int
    fit: Literal["resize", "crop"]  # squeeze the whole into it, or cut what is too much off two sides, alike
    channels: Literal[1, 3]  # grey or RGB

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.height, self.width


def read_picture(content: bytes, geometry: Geometry) -> tuple[Tensor, tuple[int, int]]:
    """A picture file's content as (C, H, W) uint8, and how wide and high the picture itself is.

    It is turned as its EXIF orientation says. 16 bits are scaled to 8, so that white stays white; palettes, CMYK and
    the like become RGB; what is transparent shows white. A JPEG that shrinks to a half or less is decoded at a half, a
    quarter or an eighth of its size.

    Raises:
        PictureError: if it is empty, damaged, of a format that Pillow does not read, or one of several frames.
    """
    with _reasons():
        return _read(_opened(content), geometry)


def of_image(image: Image.Image, geometry: Geometry) -> Tensor:
    """As `read_picture`, for an image that Pillow has opened or made, of whose frames the current one is meant.

    Raises:
        PictureError: if it is damaged, closed, or has no pixels.
    """
    with _reasons():
        return _read(apart(image), geometry)[0]


def apart(image: Image.Image) -> Image.Image:
    """An upright copy of an image, which stays as it is whatever becomes of that.

    A JPEG that is not decoded yet is opened a second time instead of copied, so that, as for a file, it may be decoded
    at a smaller size.

    Raises:
        PictureError: as `of_image`.
    """
    with _reasons():
        if isinstance(image, JpegImageFile) and image.tile and image.fp and image.tell() == 0:
            image.fp.seek(0)
            again = Image.open(io.BytesIO(image.fp.read()))
            if (again.size, again.mode) == (image.size, image.mode):  # or else it has a `draft` of its own
                return again
        if isinstance(image, ImageFile) and image.tile and image.fp is None:
            raise PictureError("was closed before it was decoded: call its load() first")
        if 0 in image.size:
            raise PictureError("has no pixels")
        return ImageOps.exif_transpose(image)


def read_mask(content: bytes, geometry: Geometry, size: tuple[int, int]) -> Tensor:
    """A mask file's content as (H, W) uint8: 1 where it is not black, 0 elsewhere.

    JPEG strews grey round what is white, so there it is 1 where it is brighter than 64, or than half of the brightest.

    Args:
        content: of a picture file.
        geometry: that of the picture; each pixel of the mask is the nearest one.
        size: width and height that it must have, which are its picture's.

    Raises:
        PictureError: as for pictures, or if it has another size.
    """
    with _reasons():
        opened = _opened(content)
        image = ImageOps.exif_transpose(opened)
        if image.size != size:
            raise PictureError("is {}x{} pixels, but its picture {}x{}".format(*image.size, *size))
        plain = image if image.mode in (*_DEEP, "1", "L", "F") else _opaque(image, "black").convert("RGB")
        pixels = np.array(plain)
    white = pixels > min(64, pixels.max() / 2) if opened.format in ("JPEG", "MPO") else pixels != 0
    marked = torch.from_numpy(white.reshape(*pixels.shape[:2], -1).any(-1).astype(np.uint8))
    return _fitted(marked.unsqueeze(0), geometry, "nearest-exact")[0]


def _opened(content: bytes) -> Image.Image:
    if not content:
        raise PictureError("is empty")
    image = Image.open(io.BytesIO(content))
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a telephone's JPEG, with the same picture once more for other screens
        raise PictureError(f"has {frames} frames: save the one that is meant as a picture of its own")
    return image


def _read(image: Image.Image, geometry: Geometry) -> tuple[Tensor, tuple[int, int]]:
    turned = image.getexif().get(0x0112, 1) > 4  # the EXIF orientation; from 5 on, lying
    size = image.size[::-1] if turned else image.size
    # Cutting, to whole pixels of what was decoded, shall not move the picture against its mask.
    mode, side = ("L", "RGB")[geometry.channels == 3], max(geometry.shape[1:]) * (1 + (geometry.fit == "crop"))
    drafted = image.draft(mode, (side, side))
    image = ImageOps.exif_transpose(image)
    if drafted is None:  # the size of a TIFF is that of the upright picture before it is turned
        size = image.size
    if image.mode in _DEEP:
        image = _of_eight_bits(image)
    pixels = np.array(_opaque(image, "white").convert(mode))
    planes = torch.from_numpy(pixels).reshape(*pixels.shape[:2], geometry.channels).permute(2, 0, 1)
    return _fitted(planes, geometry, "bilinear"), size


def _of_eight_bits(image: Image.Image) -> Image.Image:
    deep = np.asarray(image).astype(np.int64)
    if deep.min() < 0 or deep.max() > 65535:
        raise PictureError(f"has values from {deep.min()} to {deep.max()}: save it with 8 or 16 bits")
    return Image.fromarray(((deep + 128) // 257).astype(np.uint8))


def _opaque(image: Image.Image, ground: str) -> Image.Image:
    if image.mode == "F":
        raise PictureError("has floating point values: save it with 8 or 16 bits")
    if image.mode not in ("LA", "La", "PA", "RGBA", "RGBa") and "transparency" not in image.info:
        return image
    if image.mode == "La":  # has no way to RGBA but this one
        image = image.convert("LA")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, ground), image)


def _fitted(planes: Tensor, geometry: Geometry, how: str) -> Tensor:
    """(C, h, w) uint8 as (C, H, W). PyTorch takes a third of Pillow's time, for values that differ by 1 at most."""
    height, width = planes.shape[1:]
    if geometry.fit == "crop":
        scale = min(height / geometry.height, width / geometry.width)
        inner = [max(1, round(scale * side)) for side in (geometry.height, geometry.width)]
        top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
        planes = planes[:, top : top + inner[0], left : left + inner[1]]
    size, smooth = (geometry.height, geometry.width), how == "bilinear"
    return interpolate(planes.unsqueeze(0), size, mode=how, antialias=smooth)[0].contiguous()


@contextmanager
def _reasons() -> Iterator[None]:
    """Whatever a decoder meets in a damaged file, as a `PictureError`."""
    try:
        yield
    except PictureError:
        raise
    except Exception as error:
        raise PictureError(_reason(error)) from None


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "is no picture that Pillow reads: save it as PNG or JPEG"
    if isinstance(error, Image.DecompressionBombError):
        return "has more pixels than Pillow takes for harmless, 179 million: make it smaller"
    if isinstance(error, MemoryError):
        return "needs more memory than there is: make it smaller"
    return f"is damaged ({' '.join(str(error).split()) or type(error).__name__})"
